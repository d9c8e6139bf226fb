/* Attributes: text of fixed length in UTF-8 and vectors of f64, on the root or on an object.
 *
 * Variable-length strings would live in a global heap, whose bytes depend on more than the
 * content. */
#include "base/h5_impl.h"

#include <hdf5.h>
#include <string.h>

enum { ATTRIBUTE_LIMIT = 16 << 20 };

struct value {
    const char *object, *name;
    int64_t type, space; /* owned */
    const void *bytes;
};

static enum code set_attribute(struct h5 *h5, const struct value *value, struct err *err)
{
    int64_t object = -1;
    hid_t attribute = -1;
    enum code code = h5_open_object(h5, &object, value->object, err);
    if (!code && value->type >= 0 && value->space >= 0)
        attribute = H5Acreate2(object, value->name, value->type, value->space, H5P_DEFAULT,
                               H5P_DEFAULT);
    bool written = attribute >= 0 && H5Awrite(attribute, value->type, value->bytes) >= 0;
    if (!code && (!written || h5->fault.code))
        code = h5_fail(h5, IO, "write attribute", value->name, err);
    if (attribute >= 0) H5Aclose(attribute);
    if (object >= 0) H5Oclose(object);
    if (value->type >= 0) H5Tclose(value->type);
    if (value->space >= 0) H5Sclose(value->space);
    return code;
}

static hid_t text_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return -1;
    if (H5Tset_size(type, size) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
    H5Tclose(type);
    return -1;
}

enum code h5_set_text(struct h5 *h5, const char *object, const char *name, const char *text,
                      struct err *err)
{
    REQUIRE(h5->writing);
    h5_quiet();
    struct value value = { .object = object, .name = name, .bytes = text };
    value.type = text_type(strlen(text) + 1);
    value.space = H5Screate(H5S_SCALAR);
    return set_attribute(h5, &value, err);
}

enum code h5_set_reals(struct h5 *h5, const char *object, const char *name, const double *values,
                       size_t count, struct err *err)
{
    REQUIRE(h5->writing);
    h5_quiet();
    struct value value = { .object = object, .name = name, .bytes = values };
    hsize_t dim = count;
    value.type = H5Tcopy(H5T_IEEE_F64LE);
    value.space = H5Screate_simple(1, &dim, NULL);
    return set_attribute(h5, &value, err);
}

/* Opens an attribute of an object; NOT_FOUND when there is none. */
static enum code open_attribute(struct h5 *h5, hid_t *attribute, const char *object,
                                const char *name, struct err *err)
{
    int64_t holder;
    TRY(h5_open_object(h5, &holder, object, err));
    enum code code = OK;
    htri_t there = H5Aexists(holder, name);
    *attribute = there > 0 ? H5Aopen(holder, name, H5P_DEFAULT) : -1;
    if (there == 0)
        code = err_set(err, NOT_FOUND, "cannot find attribute '%s' of '%s' in '%s'", name, object,
                       h5->path);
    else if (*attribute < 0)
        code = h5_fail(h5, DAMAGED, "read attribute", name, err);
    H5Oclose(holder);
    return code;
}

/* The number of elements of an attribute if it is of the class we want, else -1. */
static hssize_t elements_of(hid_t attribute, H5T_class_t class)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t count = -1;
    bool good = type >= 0 && space >= 0 && H5Tget_class(type) == class;
    if (good && (class != H5T_STRING || H5Tis_variable_str(type) == 0))
        count = H5Sget_simple_extent_npoints(space);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return count;
}

/* Reads an attribute of one string of fixed length into the arena; NULL on failure. */
static char *read_text(hid_t attribute, struct arena *arena)
{
    if (elements_of(attribute, H5T_STRING) != 1) return NULL;
    hid_t type = H5Aget_type(attribute);
    size_t size = type < 0 ? 0 : H5Tget_size(type);
    char *text = NULL;
    if (size > 0 && size <= ATTRIBUTE_LIMIT) {
        text = arena_take(arena, size + 1);
        if (H5Aread(attribute, type, text) < 0) text = NULL;
    }
    if (type >= 0) H5Tclose(type);
    return text;
}

enum code h5_get_text(struct h5 *h5, struct arena *arena, const char *object, const char *name,
                      char **text, struct err *err)
{
    hid_t attribute;
    TRY(open_attribute(h5, &attribute, object, name, err));
    *text = read_text(attribute, arena);
    enum code code = *text ? OK : h5_fail(h5, DAMAGED, "read text attribute", name, err);
    H5Aclose(attribute);
    return code;
}

enum code h5_get_reals(struct h5 *h5, struct arena *arena, const char *object, const char *name,
                       double **values, size_t *count, struct err *err)
{
    hid_t attribute;
    TRY(open_attribute(h5, &attribute, object, name, err));
    hssize_t elements = elements_of(attribute, H5T_FLOAT);
    bool good = elements >= 0 && elements <= (hssize_t)(ATTRIBUTE_LIMIT / sizeof(double));
    if (good) {
        *count = (size_t)elements;
        *values = ARENA_ARRAY(arena, elements, double);
        good = elements == 0 || H5Aread(attribute, H5T_NATIVE_DOUBLE, *values) >= 0;
    }
    enum code code = good ? OK : h5_fail(h5, DAMAGED, "read number attribute", name, err);
    H5Aclose(attribute);
    return code;
}
