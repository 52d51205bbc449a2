# pipelines/digits, where there is scikit-learn: a grid of candidates, the best one goes live.
. "$(dirname "$0")/common.sh"
export PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sklearn, joblib' 2> /dev/null || skip "scikit-learn is not there for $PYTHON"
cp -r "$SOURCE_DIR/pipelines/digits" . && cd digits || exit 1
rm -rf data models releases reports .mlops
mkdir .mlops

mlops run pipeline.yaml --set folds=2; expect_ok; expect_out "succeeded in"
expect_exists releases/current
mlops show latest --json
expect_equal "$(json 'len({s["name"] for s in j["steps"] if s["name"].startswith(("svm@", "forest@"))})')" 6
# Each candidate keeps the figures that it wrote, although all use one name.
expect_equal "$(json 'len([m for m in j["metrics"] if m["step"].startswith(("svm@", "forest@")) and m["name"] == "cv_accuracy"])')" 6
expect_equal "$(json '[m["value"] > 0.97 for m in j["metrics"] if m["step"] == "evaluate" and m["name"] == "accuracy"][0]')" True

mlops run pipeline.yaml --from gate --set gate.min_accuracy=1; expect_exit 3; expect_out "refused: accuracy"
mlops run pipeline.yaml --from gate --set deploy.enabled=false; expect_ok; expect_out "deploy skipped"
