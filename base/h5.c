/* Opening, publishing and closing HDF5 files, and the wording of failures inside the library. */
#include "base/h5.h"

#include "base/fs.h"
#include "base/h5_impl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <string.h>

void h5_quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
}

/* Keeps the innermost message of the library's error stack: it is walked from there. */
static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *to)
{
    if (n == 0 && entry->desc) snprintf(to, 160, "%s", entry->desc);
    return 0;
}

enum code h5_fail(struct h5 *h5, enum code code, const char *verb, const char *name,
                  struct err *err)
{
    char reason[160] = "refused by HDF5";
    if (h5->fault.code) {
        if (err) *err = h5->fault;
        return h5->fault.code;
    }
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    for (char *c = reason; *c && !isupper((unsigned char)c[1]); c++) *c = (char)tolower(*c);
    if (!name) return err_set(err, code, "cannot %s '%s': %s", verb, h5->path, reason);
    return err_set(err, code, "cannot %s '%s' in '%s': %s", verb, name, h5->path, reason);
}

static enum code begin(struct h5 *h5, const char *path, const char *verb, struct err *err)
{
    memset(h5, 0, sizeof *h5);
    if (strlen(path) >= sizeof h5->path)
        return err_set(err, USAGE, "cannot %s '%.80s...': path longer than %zu bytes", verb, path,
                       sizeof h5->path - 1);
    snprintf(h5->path, sizeof h5->path, "%s", path);
    h5_quiet();
    return OK;
}

enum code h5_create(struct h5 *h5, const char *path, struct err *err)
{
    TRY(begin(h5, path, "write", err));
    fs_temporary_name(h5->temporary, sizeof h5->temporary, path);
    h5->fd = fs_calls.open(h5->temporary, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (h5->fd < 0) return err_errno(err, IO, errno, "cannot create '%s'", path);
    h5->writing = true;

    hid_t access = h5_driver_access(h5), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
    if (access >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    enum code code = OK;
    if (file < 0)
        code = h5_fail(h5, IO, "create", NULL, err);
    else
        h5->file = file;
    if (!code && h5->fault.code) {
        code = h5_fail(h5, IO, "create", NULL, err);
        h5_close(h5);
    } else if (code) {
        fs_close(h5->fd);
        fs_calls.unlink(h5->temporary);
    }
    if (access >= 0) H5Pclose(access);
    if (creation >= 0) H5Pclose(creation);
    return code;
}

/* Hands everything to the operating system and lets go of the library's side. */
static enum code flush_and_close(struct h5 *h5, struct err *err)
{
    enum code code = OK;
    if (H5Fflush(h5->file, H5F_SCOPE_LOCAL) < 0 || h5->fault.code)
        code = h5_fail(h5, IO, "write", NULL, err);
    bool closed = H5Fclose(h5->file) >= 0;
    h5->file = 0;
    if (!code && (!closed || h5->fault.code)) code = h5_fail(h5, IO, "write", NULL, err);
    return code;
}

enum code h5_finish(struct h5 *h5, struct err *err)
{
    REQUIRE(h5->file && h5->writing);
    h5_quiet();
    enum code code = flush_and_close(h5, err);
    if (!code) code = fs_sync_fd(h5->fd, h5->path, err);
    if (fs_calls.close(h5->fd) != 0 && !code)
        code = err_errno(err, IO, errno, "cannot write '%s'", h5->path);
    if (code) fs_calls.unlink(h5->temporary);
    return code;
}

enum code h5_publish(struct h5 *h5, struct err *err)
{
    TRY(h5_finish(h5, err));
    enum code code = fs_replace(h5->temporary, h5->path, err);
    if (code) fs_calls.unlink(h5->temporary);
    return code;
}

enum code h5_open_guarded(struct h5 *h5, int fd, uint64_t size, const char *path,
                          const struct h5_guard *guard, struct err *err)
{
    TRY(begin(h5, path, "open", err));
    h5->fd = fd;
    h5->end = size;
    h5->borrowed = true;
    if (guard) h5->guard = *guard;
    hid_t access = h5_driver_access(h5), file = -1;
    if (access >= 0) file = H5Fopen(path, H5F_ACC_RDONLY, access);
    enum code code = OK;
    if (file < 0)
        code = h5_fail(h5, DAMAGED, "open", NULL, err);
    else
        h5->file = file;
    if (access >= 0) H5Pclose(access);
    return code;
}

enum code h5_open(struct h5 *h5, const char *path, struct err *err)
{
    int fd;
    uint64_t size;
    memset(h5, 0, sizeof *h5);
    TRY(fs_open(&fd, path, &size, err));
    enum code code = h5_open_guarded(h5, fd, size, path, NULL, err);
    if (code) fs_close(fd);
    h5->borrowed = false;
    return code;
}

void h5_close(struct h5 *h5)
{
    if (!h5->file) return;
    h5_quiet();
    /* What is still to be written is dropped: nobody will look at it. */
    if (h5->writing && !h5->fault.code) err_set(&h5->fault, IO, "abandoned");
    H5Fclose(h5->file);
    h5->file = 0;
    if (!h5->borrowed) fs_close(h5->fd);
    if (h5->writing) fs_calls.unlink(h5->temporary);
}
