"""Learning from accepted objects while annotating: a click model gets better with every object saved."""
