"""The page of ``mis annotate``: a server for one folder of images, and the files of the page in ``page/``.

* :mod:`~mis_lightning.server.access`: who may ask: host names, origins, token, cookie, sizes of requests;
* :mod:`~mis_lightning.server.library`: the images, and the only way from a request to a file;
* :mod:`~mis_lightning.server.messages`: what is asked and answered, checked field by field;
* :mod:`~mis_lightning.server.workspace`: the work of one tab, saved after each change;
* :mod:`~mis_lightning.server.app`: the routes.
"""
