/* Pages: other people's texts stay texts, and nobody else's files are written over. What a browser
 * makes of them is looked at in tests/e2e/registry_html.sh. */
#include "registry/html.h"
#include "tests/registry/shared_evidence.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

#define HOSTILE "\"><script>alert(1)</script><img src=x onerror='a()'>&\x1b[31m"

static const char *page(struct support *s, const char *out, const char *name)
{
    struct bytes bytes;
    cr_assert_eq(fs_read(&s->arena, &bytes, path_join(&s->arena, out, name), 1 << 20, &s->err), OK,
                 "%s", s->err.message);
    return bytes.at;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

Test(html, texts_of_people_stay_texts)
{
    static const char *const pages[] = { "index.html", "model-fashion.html" };
    struct support s;
    struct added added;
    struct moved moved;
    int64_t written;
    MUST(support_open(&s));
    fs_calls.fsync = support_no_fsync;
    MUST(evidence_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    MUST(evidence_report(&s.registry, s.dir, "fashion", 1, "first", "pass", 0.75, &s.err));
    struct move_opts move = { .model = "fashion",
                              .channel = "staging",
                              .number = 1,
                              .from = CHANNEL_ANY,
                              .actor = HOSTILE,
                              .reason = HOSTILE };
    MUST(registry_promote(&s.registry, &moved, &move, &s.err));
    const char *out = path_join(&s.arena, s.dir, "pages");
    MUST(registry_html(&s.registry, &written, out, &s.err));
    cr_expect_eq(written, 2);
    for (size_t p = 0; p < 2; p++) {
        const char *text = page(&s, out, pages[p]);
        cr_expect(!strstr(text, "<script") && !strstr(text, "<img") && !strchr(text, '\x1b'));
        cr_expect_gt(count(text, "&lt;script&gt;alert(1)&lt;/script&gt;"), 2, "%s", pages[p]);
        cr_expect(strstr(text, "prefers-color-scheme:dark") && strstr(text, "@media print") &&
                  strstr(text, "max-width:720px"));
        cr_expect_eq(count(text, "<section"), count(text, "</section>"));
        cr_expect_eq(count(text, "<div"), count(text, "</div>"));
        cr_expect_eq(count(text, "<span"), count(text, "</span>"));
    }
    const char *text = page(&s, out, "model-fashion.html");
    cr_expect(strstr(text, "id=\"v1\"") && strstr(text, ".README.md\""));
    cr_expect(strstr(text, "provenance.intoto.json") && strstr(text, "small-cnn"));

    /* the same again, newer */
    MUST(support_add(&s.registry, &added, s.dir, "shoes", 3, &s.err));
    MUST(registry_html(&s.registry, &written, out, &s.err));
    cr_expect_eq(written, 3);
    cr_expect(strstr(page(&s, out, "index.html"), "model-shoes.html"));
    support_close(&s);
}

Test(html, writes_over_nothing_that_is_not_its_own)
{
    struct support s;
    int64_t written;
    MUST(support_open(&s));
    fs_calls.fsync = support_no_fsync;
    cr_expect_eq(registry_html(&s.registry, &written, s.path, &s.err), CONFLICT);
    const char *out = path_join(&s.arena, s.dir, "site");
    MUST(fs_mkdirs(out, &s.err));
    MUST(fs_publish(path_join(&s.arena, out, "index.html"), "<p>mine", 7, &s.err));
    cr_expect_eq(registry_html(&s.registry, &written, out, &s.err), CONFLICT);
    cr_expect_str_eq(page(&s, out, "index.html"), "<p>mine");
    /* a registry with nothing in it has a page too */
    const char *empty = path_join(&s.arena, s.dir, "empty");
    MUST(registry_html(&s.registry, &written, empty, &s.err));
    cr_expect(strstr(page(&s, empty, "index.html"), "none yet"));
    support_close(&s);
}
