#!/usr/bin/env bash
# The registry's pages: every link leads somewhere, nothing comes from outside, and where a browser is
# installed nothing is wider than a phone.
source "$(dirname "$0")/lib.bash" "$1"
export PAWL_ACTOR='<b>ana</b>'

make_data
make_experiment small.yaml
expect 0 train small.yaml --quiet
expect 0 registry init registry
expect 0 registry add runs/small --as small --registry registry \
    --reason "$(printf 'x%.0s' {1..300}) </p><script>document.title='broken'</script>"
make_suite pass.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.6}'
expect 0 eval pass.yaml --model small@1 --registry registry
expect 0 promote small@1 staging --reason 'a < b & c > d "e"' --registry registry
expect 0 registry html registry --out pages
says '2 pages' 'pages/index.html'
expect 0 registry html --registry registry
[ -s registry-html/index.html ] || fail "no pages under the default name"
expect 7 registry html registry --out registry
says "'registry'"
expect 2 registry html nowhere

python3 - pages <<'END' || fail "a page is not sound"
import glob, html.parser, os, sys
folder = sys.argv[1]
VOID = {"meta", "br", "input", "img", "hr", "link"}

class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.open, self.ids, self.links, self.path = [], set(), [], path
        self.feed(open(path, encoding="utf-8").read())
        assert not self.open, (path, self.open)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert tag not in ("script", "link", "img", "iframe", "object", "base", "form"), (self.path, tag)
        assert not {"src", "style", "action"} & set(values), (self.path, values)
        assert not any(name.startswith("on") for name in values), (self.path, values)
        if "id" in values:
            assert values["id"] not in self.ids, values["id"]
            self.ids.add(values["id"])
        if "href" in values:
            self.links.append(values["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (self.path, tag)

pages = {os.path.basename(p): Page(p) for p in glob.glob(folder + "/*.html")}
assert set(pages) == {"index.html", "model-small.html"}, pages
for page in pages.values():
    assert page.links, page.path
    for link in page.links:
        name, _, anchor = link.partition("#")
        assert os.path.isfile(os.path.join(folder, name)), link
        assert not anchor or anchor in pages[name].ids, link
for path in pages:
    text = open(os.path.join(folder, path)).read()
    assert "http:" not in text and "https:" not in text and "url(" not in text, path
END

command -v chromium >/dev/null || { echo "chromium is not installed: nobody looked at the pages"; exit 0; }
# The page in a frame of 390 pixels, its overflow measured by a page around it.
for page in index model-small; do
    sed 's|</body>|<script>parent.postMessage([document.documentElement.scrollWidth, innerWidth].join(), "*")</script></body>|' \
        "pages/$page.html" >"pages/framed.html"
    printf '<!doctype html><iframe src="framed.html" width="390" height="900" style="border:0"></iframe>
<script>addEventListener("message", e => document.title = "width " + e.data)</script>' >pages/frame.html
    timeout 60 chromium --headless --no-sandbox --disable-gpu --virtual-time-budget=3000 \
        --dump-dom "file://$PWD/pages/frame.html" >out 2>err || { echo "chromium does not run here"; exit 0; }
    grep -o '<title>[^<]*' out >title || fail "$page said nothing"
    [[ $(cat title) =~ "width "([0-9]+),([0-9]+)$ ]] || fail "$page: $(cat title)"
    [ "${BASH_REMATCH[1]}" -le "${BASH_REMATCH[2]}" ] && [ "${BASH_REMATCH[2]}" -le 390 ] ||
        fail "$page is ${BASH_REMATCH[1]} wide in ${BASH_REMATCH[2]}"
done
