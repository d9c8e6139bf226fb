#!/usr/bin/env bash
# report.html in a real browser: no overflow at 390 and at 1200 pixels, every section is there, no script
# and nothing from outside, and it prints. Skipped (77) where there is no Chromium.
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || exit 77
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml
expect 0 train small.yaml
make_suite suite.yaml 'slices: [{name: outer, where: {label: [0, 3]}}]
perturb: [{name: noisy, with: {gaussian_noise: 0.3}}, {name: attacked, with: {fgsm: 0.2}}]
goals: [{id: quality, metric: accuracy, at_least: 0.3, why: "the sorter & its <contract>"}]
guards:
  - {metric: accuracy, slice: {every: label}, at_least: 0.2}
  - {id: gain, metric: accuracy, against: majority, better_by: 10%}
  - {id: noise, metric: accuracy, perturb: noisy, at_least: 0.99, severity: warn}
  - {id: gap, metric: accuracy, gap: [outer, rest], at_most: 0.9}
  - {id: late, metric: latency_p50, at_most: 10s}'
run_code=0
"$pawl" eval suite.yaml --model runs/small --out report >out 2>err || run_code=$?
[ "$run_code" = 0 ] || [ "$run_code" = 4 ] || fail "exit code $run_code"
page=report/report.html
for section in 'Gates' 'Beside the baselines' 'Slices' 'Confusion' 'Reliability' 'Under perturbation' \
    'Row by row beside majority' 'Measured' 'Inputs and digests' 'the sorter &amp; its &lt;contract&gt;'; do
    grep -qF -- "$section" "$page" || fail "the page has no '$section'"
done
! grep -qE '<script|https?://|<link' "$page" || fail 'the page wants something from outside'

# A frame of each width tells how wide its content came out.
cat >frame.html <<'EOT'
<!doctype html><body><script>
let left = 2, told = [];
for (const width of [390, 1200]) {
    const frame = document.createElement("iframe");
    frame.style.cssText = "border:0;height:2000px;width:" + width + "px";
    frame.src = "report/report.html";
    frame.onload = () => {
        const page = frame.contentDocument;
        const broken = [...page.images].filter(i => !i.naturalWidth).length;
        told.push("width-" + width + "=" + page.documentElement.scrollWidth + " sections-" + width + "=" +
            page.querySelectorAll("section").length + " broken-" + width + "=" + broken);
        if (--left == 0) document.body.dataset.told = told.join(" ");
    };
    document.body.append(frame);
}
</script></body>
EOT
chromium_run() {
    timeout 100 "$browser" --headless --no-sandbox --hide-scrollbars --disable-gpu --disable-dev-shm-usage \
        --allow-file-access-from-files --user-data-dir="$work/profile" --virtual-time-budget=20000 "$@"
}
chromium_run --dump-dom "file://$work/frame.html" >dom 2>browser.log || { tail browser.log; exit 77; }
for width in 390 1200; do
    grep -qF "width-$width=$width " dom || fail "the page overflows at $width: $(grep -o 'data-told="[^"]*' dom)"
    grep -qF "broken-$width=0" dom || fail 'an image is broken'
done
chromium_run --no-pdf-header-footer --print-to-pdf="$work/page.pdf" "file://$work/$page" >>browser.log 2>&1 ||
    fail 'it does not print'
head -c 5 page.pdf | grep -qF '%PDF-' || fail 'the print is no PDF'
[ -z "${PAWL_SHOTS:-}" ] || {
    for width in 500 1200; do
        chromium_run --window-size=$width,3600 --screenshot="$PAWL_SHOTS/page-$width.png" "file://$work/$page" >>browser.log 2>&1
    done
    sed 's/1200/390/; s/2000px/4200px/' frame.html | sed 's/\[390, 390\]/[390]/; s/left = 2/left = 1/' >one.html
    chromium_run --window-size=500,4200 --screenshot="$PAWL_SHOTS/page-390.png" "file://$work/one.html" >>browser.log 2>&1
    cp page.pdf "$PAWL_SHOTS/"
}
