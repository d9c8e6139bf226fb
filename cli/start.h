/* How a command that trains starts a run: what `train` and `release` have in common. */
#ifndef PAWL_CLI_START_H
#define PAWL_CLI_START_H

#include "cli/command.h"
#include "trainer/train.h"

#define START_OPTIONS                                                                              \
    { "time-limit", OPTION_TEXT, "TIME",                                                           \
      "Saves and stops (exit 75) after this time, e.g. 2h; in a "                                  \
      "Slurm job a minute before its end." },                                                      \
        { "take-over", OPTION_FLAG, NULL, "Takes a run that another process seems to hold." },     \
        { "algorithms", OPTION_TEXT, "FILE",                                                       \
          "A new run begins with the choices in this file, another run's algorithms.json." },      \
        { "no-tune", OPTION_FLAG, NULL,                                                            \
          "Takes the first algorithms that a card's libraries offer; nothing is timed." },         \
    {                                                                                              \
        "allow-inexact", OPTION_FLAG, NULL,                                                        \
            "Resumes although device, threads, libraries, algorithms or the number of ranks "      \
            "differ."                                                                              \
    }

/* Fills what those options, --run, --device and the scheduler's variables say. USAGE. */
enum code read_start(const struct invocation *in, struct train_opts *opts, struct err *err);

#endif
