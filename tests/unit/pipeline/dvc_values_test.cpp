#include "catch.hpp"
#include "pipeline/dvc/context.hpp"
#include "pipeline/dvc/params_file.hpp"
#include "pipeline/dvc/value.hpp"

using namespace mlops;
using namespace mlops::pipeline::dvc;

namespace {

OrderedJson fill(const Context& context, const std::string& text, std::string_view key = "cmd",
                 std::string* problem = nullptr) {
  return fill_in(text, context, key, {}, [&](const std::string&, std::string words) {
    if (problem) *problem = std::move(words);
  });
}

Context context_of(const char* json) {
  Context context;
  REQUIRE_FALSE(context.merge(OrderedJson::parse(json), "test"));
  return context;
}

}  // namespace

TEST_CASE("plain scalars mean what they mean to DVC") {
  CHECK(plain_value("yes") == "yes");
  CHECK(plain_value("010") == 10);
  CHECK(plain_value("0o10") == 8);
  CHECK(plain_value("0b11") == 3);
  CHECK(plain_value("1_000") == 1000);
  CHECK(plain_value("1e5") == 100000.0);
  CHECK(plain_value(".5") == 0.5);
  CHECK(plain_value("1.") == 1.0);
  CHECK(plain_value("12:30") == "12:30");
  CHECK(plain_value("1e") == "1e");
  CHECK(plain_value("-") == "-");
  CHECK(is_plain(plain_value("2021-01-01")));
  CHECK(is_plain(plain_value("123456789012345678901234567890")));
}

TEST_CASE("texts are filled in") {
  const Context context = context_of(
      R"({"a": {"b": [1, {"c": "x"}]}, "t": true, "n": null, "f": 1e-05, "s": "a b", "w": 30000.0})");
  CHECK(fill(context, "${a.b[1].c}-${a.b.0}") == "x-1");
  CHECK(fill(context, "${ a . b [ 0 ] }") == 1);
  CHECK(fill(context, "${t}", "frozen") == true);
  CHECK(fill(context, "${t} ${n} ${f} ${w}") == "true None 1e-05 30000.0");
  CHECK(fill(context, "\\${t} ${s}") == "${t} a b");
  std::string problem;
  CHECK(fill(context, "${a}", "deps", &problem).is_null());
  CHECK(problem.find("only cmd takes a map") != problem.npos);
  fill(context, "${a.x}", "cmd", &problem);
  CHECK(problem.find("'a' has no 'x'") != problem.npos);
  fill(context, "${a[}", "cmd", &problem);
  CHECK(problem.find("is not a name") != problem.npos);
}

TEST_CASE("maps become options in cmd") {
  const OrderedJson map = OrderedJson::parse(
      R"({"a": 1, "on": true, "off": false, "s": "two words", "l": ["x", 2], "in": {"deep": "y"}, "n": null, "e": []})");
  CHECK(unpack(map, {}) == "--a 1 --on --s 'two words' --l x 2 --in.deep y --n None");
  CHECK(unpack(map, {true, true}) == "--a 1 --on --no-off --s 'two words' --l x --l 2 --in.deep y --n None");
  CHECK_THROWS(unpack(OrderedJson::parse(R"({"l": [[1]]})"), {}));
  CHECK(quoted_word("it's") == "'it'\"'\"'s'");
}

TEST_CASE("commands and paths may name values in place of holding them") {
  Context context = context_of(
      R"({"n": 3, "out": "m", "deep": {"lr": 0.1, "on": true, "l": [1]}, "quoted": {"a": "x y", "b": "*", "c": "", "d": "z"}})");
  context.set_reserved("item", 7);
  context.refer = [](const auto& parts, const auto& whole, const auto& value) -> std::optional<std::string> {
    if (value.is_structured()) return std::nullopt;
    CHECK((parts.size() == 1) == (whole == value));
    return "<" + parts.back() + ">";
  };
  std::string problem;
  CHECK(fill(context, "a ${n} ${item} ${deep}", "cmd", &problem) == "a <n> 7 --lr <lr> --on --l 1");
  CHECK(fill(context, "${quoted}", "cmd", &problem) == "--a 'x y' --b '*' --c '' --d <d>");
  CHECK(fill(context, "${out}-${deep.l[0]}", "outs", &problem) == "<out>-<0>");
  CHECK(fill(context, "${out}", "deps", &problem) == "<out>");
  CHECK(fill(context, "${deep.on}", "outs", &problem) == true);  // a setting
  CHECK(fill(context, "${out}", "params", &problem) == "m");
  CHECK(problem.empty());
}

TEST_CASE("a value cannot be given twice") {
  Context context = context_of(R"({"a": {"b": 1}})");
  CHECK_FALSE(context.merge(OrderedJson::parse(R"({"a": {"c": 2}})"), "x"));
  CHECK(context.merge(OrderedJson::parse(R"({"a": {"b": 2}})"), "y")->find("'a.b'") != std::string::npos);
  context.set_reserved("item", 1);
  CHECK(context.merge(OrderedJson::parse(R"({"item": 2})"), "y"));
}

TEST_CASE("floats are Python's") {
  CHECK(float_text(0.1) == "0.1");
  CHECK(float_text(1e16) == "1e+16");
  CHECK(float_text(1e15) == "1000000000000000.0");
  CHECK(float_text(0.0001) == "0.0001");
  CHECK(float_text(0.00001) == "1e-05");
  CHECK(float_text(-123.456) == "-123.456");
  CHECK(float_text(1.5e300) == "1.5e+300");
}

TEST_CASE("values are equal as in Python") {
  CHECK(equal(1, 1.0));
  CHECK(equal(true, 1));
  CHECK_FALSE(equal("1", 1));
  CHECK(equal(OrderedJson::parse(R"({"a": 1, "b": [2]})"), OrderedJson::parse(R"({"b": [2.0], "a": 1})")));
}

TEST_CASE("params come from four formats") {
  CHECK(parse_params("a: {b: 1.50}", "p.yaml") == OrderedJson::parse(R"({"a": {"b": 1.5}})"));
  CHECK(parse_params(R"({"z": 1, "a": [null]})", "p.json").begin().key() == "z");
  const std::string wide =
      R"({"a": 18446744073709551615, "b": -18446744073709551616, "c": 123456789012345678901234, "d": 1e+22})";
  CHECK(python_json(parse_params(wide, "p.json")) == wide);
  CHECK(parse_params("{\"a\": 123456789012345678901234}", "p.json") ==
        parse_params("a: 123456789012345678901234", "p.yaml"));
  CHECK(parse_params("z = 1\n[a.b]\nc = \"x\"\n", "p.toml") ==
        OrderedJson::parse(R"({"z": 1, "a": {"b": {"c": "x"}}})"));
  const OrderedJson py = parse_params(R"py(
"""doc = 1"""
import os
A = 1_000  # x = 2
B: float = -1e-5
C = ["a", 'b' "c", r"\d"]
D = (1, 2); E = {"k": {"v": True}, 3: None}
F = os.environ["X"]
G = H = 1
if True:
    I = 5
class Net(Base):
    depth = 3
    def __init__(self, x):
        self.rate = 0.5
        y = 1
        self.x = x
def f():
    J = 1
K = """two
lines"""
L = (
    1,  # one
    [2, 3],
)
)py",
                                      "c.py");
  CHECK(py.dump() ==
        R"({"A":1000,"B":-1e-05,"C":["a","bc","\\d"],"D":[1,2],"E":{"k":{"v":true},"\u001e3":null},)"
        R"("Net":{"depth":3,"rate":0.5},"K":"two\nlines","L":[1,[2,3]]})");
  // Bodies on the line of their header; signs are part of a number, and that is all that is calculated.
  CHECK(parse_params(R"py(
class Train: lr = 0.1; steps = 3
class M:
    class Sub: z = 1
    def __init__(self): self.q = 2; y = 3
    def __init__later(self): self.r = 2
class Empty(M): pass
class Bound(metaclass=f(x[1:2])): d = {"a": 1}
G = -(3)
H = -(-3)
I = - -3
try: K = 1; L = 2
finally: N = 3
if (a := 1): O = 1
else: P = 2
lower: int = 4; classes = 5; été = 6
)py",
                     "c.py")
            .dump() ==
        R"({"Train":{"lr":0.1,"steps":3},"M":{"Sub":{"z":1},"q":2},"Empty":{},"Bound":{"d":{"a":1}},"G":-3,)"
        R"("lower":4,"classes":5,"été":6})");
  CHECK_THROWS_AS(parse_params("{", "p.json"), BadFile);
  CHECK_THROWS_AS(parse_params("= 1", "p.toml"), BadFile);
  CHECK_THROWS_AS(parse_params("[1]", "p.yaml"), BadFile);
}
