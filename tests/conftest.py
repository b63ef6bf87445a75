"""Before all tests."""

import signal

# Whoever starts the tests in the background may have had Ctrl-C ignored, and some tests are about it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
