/* One check a function; each adds a line. */
#include "workflow/doctor.h"

#include "base/fs.h"
#include "base/str.h"
#include "comm/mpi_module.h"
#include "kernels/device.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

static void add(json_t *checks, const char *name, const char *state, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add(json_t *checks, const char *name, const char *state, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(checks,
                          json_pack("{s:s,s:s,s:s}", "name", name, "state", state, "text", text));
}

static void check_system(json_t *checks)
{
    struct utsname system;
    if (uname(&system) == 0)
        add(checks, "system", "ok", "%s %s on %s", system.sysname, system.release, system.machine);
}

static void check_cpu(json_t *checks)
{
    struct device device;
    struct err err;
    if (device_open(&device, "cpu", 0, &err)) {
        add(checks, "cpu", "broken", "%s", err.message);
        return;
    }
    add(checks, "cpu", "ok", "%s", device.description);
    bool bf16 = device.fast_dtypes >> DTYPE_BF16 & 1;
    add(checks, "precision", "ok",
        bf16 ? "`precision: auto` takes bf16 here"
             : "`precision: auto` takes f32 here: no bf16 instructions");
    device_close(&device);
}

static void check_cuda(json_t *checks)
{
    struct device device;
    struct err err;
    if (device_open(&device, "cuda", 0, &err)) {
        add(checks, "cuda", "note", "%s; training runs on the CPU", err.message);
        return;
    }
    add(checks, "cuda", "ok", "%s", device.description);
    device_close(&device);
}

static void check_mpi(json_t *checks)
{
    struct mpi_calls calls;
    struct err err;
    if (mpi_module_load(&calls, &err))
        add(checks, "mpi", "note", "%s; one rank at a time can train", err.message);
    else
        add(checks, "mpi", "ok", "%s", calls.made_with);
}

static void check_space(json_t *checks, const char *dir)
{
    struct statvfs space;
    if (statvfs(dir, &space) != 0) return;
    double gib = (double)space.f_bavail * (double)space.f_frsize / (1 << 30);
    add(checks, "space", gib < 1 ? "note" : "ok", "%.1f GiB free at '%s'", gib, dir);
}

/* Publishing and exclusive creation, as runs and registries rely on them. */
static void check_files(json_t *checks, const char *dir)
{
    struct arena arena = { 0 };
    struct err err;
    char probe[1100];
    bool first = false, second = true;
    fs_temporary_name(probe, sizeof probe, path_join(&arena, dir, "doctor"));
    enum code code = fs_mkdirs(probe, &err);
    const char *file = path_join(&arena, probe, "entry");
    if (!code) code = fs_create_exclusive(file, "a", 1, &first, &err);
    if (!code) code = fs_create_exclusive(file, "b", 1, &second, &err);
    if (!code) code = fs_publish(path_join(&arena, probe, "other"), "c", 1, &err);
    if (code)
        add(checks, "files", "broken", "%s", err.message);
    else if (!first || second)
        add(checks, "files", "broken", "two exclusive creations of one name at '%s' %s", dir,
            first ? "both succeeded" : "both failed");
    else
        add(checks, "files", "ok", "link, exclusive creation and directory fsync work at '%s'",
            dir);
    fs_remove_tree(probe, &err);
    arena_release(&arena);
}

enum code doctor_examine(json_t **report, const char *dir, struct err *err)
{
    json_t *checks = json_array();
    check_system(checks);
    check_cpu(checks);
    check_cuda(checks);
    check_mpi(checks);
    check_space(checks, dir);
    check_files(checks, dir);
    *report = json_pack("{s:s,s:o}", "pawl", "doctor/1", "checks", checks);
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        if (strcmp(json_string_value(json_object_get(check, "state")), "broken") != 0) continue;
        return err_set(err, HOPELESS, "this machine is not fit: %s",
                       json_string_value(json_object_get(check, "text")));
    }
    return OK;
}
