# The manual is true: its commands run and print what it shows, and its tables name what there is. See docs.py.
. "$(dirname "$0")/common.sh"
docs="python3 $SOURCE_DIR/tests/scenarios/docs.py"
bad=
for page in README.md $(cd "$SOURCE_DIR" && echo docs/*.md); do
    place=$here/$(basename "$page" .md)
    mkdir "$place"
    (cd "$place" && $docs run "$MLOPS" "$SOURCE_DIR" "$page") || bad="$bad $page"
done
mkdir facts
(cd facts && printf 'steps: {a: {run: "true"}}\n' > p.yaml && "$MLOPS" run p.yaml --quiet > /dev/null &&
    $docs facts "$MLOPS" "$SOURCE_DIR") || bad="$bad facts"
[ -z "$bad" ] || { echo "FAILED: the manual is not true in$bad" >&2; exit 1; }
