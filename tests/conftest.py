"""What holds for every test."""

import signal

# A job that a shell put into the background, or nohup, is born with these ignored, and so would be the programs that
# tests start and interrupt.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
