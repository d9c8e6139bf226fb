/* The one mutable global that the laws allow here: the signal flag. */
#include "trainer/signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static volatile sig_atomic_t stop_signal, end_signal;

static void on_signal(int number)
{
    stop_signal = number;
    if (number == SIGTERM) end_signal = 1;
}

void signals_install(void)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART;
        if (numbers[i] == SIGINT) action.sa_flags |= (int)SA_RESETHAND;
        sigaction(numbers[i], &action, NULL);
    }
}

bool signals_stop(void)
{
    return stop_signal != 0;
}

bool signals_ending(void)
{
    return end_signal != 0;
}

const char *signals_name(void)
{
    switch (stop_signal) {
    case SIGTERM:
        return "SIGTERM";
    case SIGINT:
        return "SIGINT";
    case SIGUSR1:
        return "SIGUSR1";
    case SIGUSR2:
        return "SIGUSR2";
    default:
        return "no signal";
    }
}
