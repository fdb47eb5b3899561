"""One file per verb of ``mis``, each with ``main(args) -> exit status``."""
