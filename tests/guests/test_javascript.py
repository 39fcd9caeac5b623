"""Functions in JavaScript: what they are given, what they may give, and whose fault it is when that does not work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import waspi
from tests.guests.javascript import ENGINE_IS_COMPILED, FULL, fault_of, js, output
from waspi import javascript
from waspi.errors import ConfigError, Fault, UsageError
from waspi.model.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not FULL, reason="the engine is compiled for minutes in an emulator; see test_javascript_on_boards.py"
)


def test_a_function_of_text() -> None:
    assert output("export default (text) => text + '!'", "hüh".encode()) == "hüh!".encode()


def test_a_function_of_bytes() -> None:
    reverse = "export default (bytes) => bytes.toReversed()"
    assert output(reverse, b"\x00\xff\x80", encoding="bytes") == b"\x80\xff\x00"


def test_a_function_of_json_says_so_itself() -> None:
    mean = """
    export const waspi = { encoding: "json" };
    export default ({ readings }) => ({ mean: readings.reduce((a, b) => a + b, 0) / readings.length });
    """
    assert output(mean, b'{"readings":[1,2]}') == b'{"mean":1.5}'


def test_a_named_export_is_the_entry() -> None:
    script = "export const double = (x) => x * 2; export default () => 0"
    assert output(script, b"21", encoding="json", entry="double") == b"42"


def test_a_file_that_ends_in_js_is_a_script_and_names_the_place_of_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "broken.js"
    path.write_text("export default function f(x) {\n  return x.y.z;\n}\n")
    with pytest.raises(
        waspi.errors.ExceptionError, match=r"TypeError: cannot read property 'z' of undefined at f \(broken\.js:2:10\)"
    ):
        waspi.run(path, b"x")


def test_a_returned_promise_is_awaited() -> None:
    assert output("export default async (x) => { await null; return x + (await Promise.resolve('b')) }", b"a") == b"ab"


def test_console_goes_to_the_log() -> None:
    script = """export default () => {
      console.log("one", { a: 1 }, [2], 3n, null, undefined, Symbol("s"));
      console.assert(1 > 2, "no");
      Promise.reject(new Error("lost"));
      return "";
    }"""
    log = js(script, b"").log.decode()
    assert log == (
        'one {"a":1} [2] 3 null undefined Symbol(s)\nassertion failed:  no\n'.replace(":  ", ": ")
        + "a promise was rejected and nobody caught it: Error: lost\n"
    )


def test_context_comes_from_the_environment() -> None:
    script = "export default (_, context) => JSON.stringify(context)"
    abi = {"format": "javascript"}
    environment = {
        "WASPI_JOB": "j-1",
        "WASPI_DEVICE": "pi-7",
        "WASPI_MODULE": "mean",
        "WASPI_VERSION": "1.2.0",
        "OTHER": "x",
    }
    with waspi.Module.compile(script, abi=abi) as module:
        assert json.loads(module.run(b"", environment=environment).output) == {
            "job": "j-1", "device": "pi-7", "module": "mean", "version": "1.2.0",
        }  # fmt: skip
        assert module.run(b"").output == b"{}"


def test_random_numbers_are_seeded_once_a_run() -> None:
    script = "export default () => [Math.random(), Math.random()].join()"
    with waspi.Module.compile(script, abi={"format": "javascript"}) as module, module.instantiate() as instance:
        draws = {instance.run(b"").output for _ in range(5)} | {module.run(b"").output for _ in range(5)}
    assert len(draws) == 10
    numbers = [float(number) for draw in draws for number in draw.split(b",")]
    assert len(set(numbers)) == 20
    assert all(0 <= number < 1 for number in numbers)


def test_clock_is_the_host_s() -> None:
    import time  # noqa: PLC0415

    before = time.time()
    now = int(output("export default () => String(Date.now())", b"")) / 1000
    assert before - 1 < now < time.time() + 1
    assert output("export default () => typeof performance.now() + new Date(0).getTimezoneOffset()", b"") == b"number0"


def test_there_are_no_modules_no_timers_and_no_operating_system() -> None:
    script = (
        "export default () => [typeof std, typeof os, typeof setTimeout, typeof WebAssembly, typeof require].join()"
    )
    assert output(script, b"") == b"undefined,undefined,undefined,undefined,undefined"


def test_text_encoder_and_decoder() -> None:
    script = r"""export default () => {
      const bytes = new TextEncoder().encode("é\ud800"), decoder = new TextDecoder(), bad = new Uint8Array([255]);
      const texts = [bytes.join(), decoder.decode(bytes.subarray(0, 2)), decoder.decode(bad)];
      try { new TextDecoder("utf-8", { fatal: true }).decode(bad) } catch (error) { texts.push(error.name) }
      return texts.join(" ");
    }"""
    assert output(script, b"").decode() == "195,169,239,191,189 é \ufffd TypeError"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{ a: undefined, b: 1 }", '{"b":1}'),
        ("new Date(0)", '"1970-01-01T00:00:00.000Z"'),
        ("new Float32Array([1, 2.5])", "[1,2.5]"),
        ("-0", "0"),
        ("1e21", "1e+21"),
        (r"'\n\u0001\"\\/é😀'", r'"\n\u0001\"\\/é😀"'),
        ("{ toJSON(key) { return [key] } }", '[""]'),
        ("[{ toJSON(key) { return key } }]", '["0"]'),
        ("Object.assign(Object.create({ inherited: 1 }), { own: 2 })", '{"own":2}'),
        ("JSON.parse('{\"__proto__\":1}')", '{"__proto__":1}'),
    ],
)
def test_what_json_holds(expression: str, expected: str) -> None:
    assert output(f"export default () => ({expression})", b"null", encoding="json").decode() == expected


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("() => 1", "the result is a function"),
        ("Symbol()", "the result is a symbol"),
        ("[10n]", r"at \[0\] the result has a BigInt"),
        ("{ a: [1, { b: NaN }] }", r"at \.a\[1\]\.b the result has NaN"),
        ("-1 / 0", "Infinity"),
        ("undefined", "is a return missing"),
        ("[undefined]", r"at \[0\] the result has undefined"),
        ("(() => { const a = {}; a.me = [a]; return a })()", r"at \.me\[0\] the result has a cycle"),
        ("new Map()", "Object.fromEntries"),
        (r"{ a: '\ud800' }", r"at \.a the result has a string with a lone surrogate"),
        ("{ get x() { throw new Error('in a getter') } }", "in a getter"),
        ("JSON.parse('['.repeat(200) + ']'.repeat(200)).map((x) => [x])", "more than 200 levels"),
    ],
)
def test_what_json_cannot_hold(expression: str, named: str) -> None:
    script = f"export default () => ({expression})"
    assert fault_of(script, b"null", encoding="json", matches=named) == ("exception", Fault.GUEST)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            "[0, 23, 24, 255, 256, 65536, 2 ** 32, -1, -25, -257]",
            "8a00171818 18ff 190100 1a00010000 1b0000000100000000 20 3818 390100",
        ),
        (
            "[1.5, 65504.5, 1e300, NaN, -0, Infinity, 2 ** -24]",
            "87 f93e00 fa477fe080 fb7e37e43c8800759c f97e00 f98000 f97c00 f90001",
        ),
        ("[2n ** 64n - 1n, -(2n ** 63n)]", "82 1bffffffffffffffff 3b7fffffffffffffff"),
        ("{ b: 1, aa: 2, a: undefined, c: null }", "a3 6162 01 6163 f6 626161 02"),
        ("new Map([['a', true], [1, new Uint8Array([1, 2])]])", "a2 01 420102 6161 f5"),
        ("'é'", "62c3a9"),
    ],
)
def test_what_cbor_holds_is_written_in_its_deterministic_form(expression: str, expected: str) -> None:
    assert output(f"export default () => ({expression})", b"\xf6", encoding="cbor").hex() == expected.replace(" ", "")


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("a2 6161 01 6162 82 f93e00 f6", '{"a":1,"b":[1.5,null]}'),
        ("bf 6161 9f 01 ff ff", '{"a":[1]}'),
        ("7f 6161 6162 ff", '"ab"'),
        ("c1 01", "1"),
        ("d9d9f7 80", "[]"),
        ("fa3fc00000", "1.5"),
        ("a1 6161 a0", '{"a":{}}'),
    ],
)
def test_what_cbor_is_read_as(sent: str, seen: str) -> None:
    script = "export default (value) => new TextEncoder().encode(JSON.stringify(value))"
    expected = seen.encode()
    assert output(script, bytes.fromhex(sent), encoding="cbor") == bytes([0x40 + len(expected)]) + expected


@pytest.mark.parametrize(
    "sent",
    [
        "", "ff", "8201", "61ff", "a2 6161 01 6161 02", "a2 01 01 01 02", "c24101", "3bffffffffffffffff", "5f6161ff",
        "f8ff", "0101", "9bffffffffffffffff", "7b00000000ffffffff", "81" * 300 + "01", "1c",
    ],
)  # fmt: skip
def test_input_that_is_no_cbor_is_the_publisher_s_fault(sent: str) -> None:
    assert fault_of("export default (v) => v", bytes.fromhex(sent), encoding="cbor") == ("bad-input", Fault.PUBLISHER)


@pytest.mark.parametrize("sent", [b"", b"{", b"{]", b"1 2", b"\xff", b'"\x01"', b"[" * 100_000, b"NaN"])
def test_input_that_is_no_json_is_the_publisher_s_fault(sent: bytes) -> None:
    assert fault_of("export default (v) => 1", sent, encoding="json") == ("bad-input", Fault.PUBLISHER)


def test_text_that_is_no_utf_8_is_the_publisher_s_fault() -> None:
    assert fault_of("export default (v) => v", b"ab\xff", matches="byte 2 is 0xff") == ("bad-input", Fault.PUBLISHER)


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("export default function (x { }", r"SyntaxError: .* at main\.js:1:28"),
        ("let a = 1", "no default export"),
        ("export default 5", "no default export"),
        ("throw new Error('at once'); export default () => 1", r"Error: at once at <anonymous> \(main\.js:1:11\)"),
        ("await new Promise(() => {}); export default () => 1", "nothing will settle"),
        ("import x from 'fs'; export default () => 1", "cannot import 'fs'"),
        ("export const waspi = { encoding: 'xml' }; export default () => 1", "known are text, bytes, json, cbor"),
        ("export const waspi = { encodin: 'json' }; export default () => 1", "unknown key 'encodin'"),
        ("export const waspi = 5; export default () => 1", "is no object"),
        (b"export default () => '\xff'", "byte 22 is 0xff"),
        (b"export default () => '\xed\xa0\x80'", "byte 22 is 0xed"),
        ("export default () => 1; \0", "SyntaxError"),
        ("", "no default export"),
    ],
)
def test_a_script_that_cannot_be_loaded(script: str | bytes, named: str) -> None:
    assert fault_of(script, b"", matches=named) == ("invalid-script", Fault.GUEST)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("throw 'a string'", "no Error was thrown: a string"),
        ("throw { a: 1 }", r"no Error was thrown: \[object Object\]"),
        ("throw null", "no Error was thrown: null"),
        ("throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })", "cannot be shown"),
        ("throw Object.defineProperty(new Error(), 'message', { get() { throw 1 } })", "Error at default"),
        ("const f = () => f() + 1; return f()", "Maximum call stack size exceeded at f"),
        ("return 5", 'encoding: "json"'),
        ("return", "is a return missing"),
        (r"return '\ud800'", "lone surrogate"),
        ("return new Promise(() => {})", "nothing will settle"),
        ("return Promise.reject(new TypeError('late'))", "TypeError: late"),
        ("let s = 'x'; for (;;) s += s", "string too long"),
        ("return (await import('fs')).x", "cannot import 'fs'"),
        ("return new RegExp('('.repeat(100000))", "SyntaxError"),
    ],
)
def test_a_function_that_fails(body: str, named: str) -> None:
    script = (
        f"export default async function () {{ {body} }}"
        if "await" in body
        else f"export default function () {{ {body} }}"
    )
    assert fault_of(script, b"", matches=named) == ("exception", Fault.GUEST)


def test_memory_without_end_says_what_to_do() -> None:
    script = "export default () => { const all = []; for (;;) all.push(new Array(1000).fill(0)) }"
    limits = Limits(memory_bytes=8 << 20, fuel=10_000_000_000)
    assert fault_of(script, b"", matches="raise the memory limit", limits=limits) == ("exception", Fault.GUEST)


@pytest.mark.parametrize(
    "expression",
    ["(() => { for (;;); })()", "/(a+)+$/.test('a'.repeat(40) + 'b')", "new Proxy({}, { ownKeys() { for (;;); } })"],
)
def test_time_without_end(expression: str) -> None:
    script = f"export default () => ({expression})"
    assert fault_of(script, b"1", encoding="json", limits=Limits(fuel=50_000_000)) == ("fuel-limit", Fault.GUEST)
    assert fault_of(script, b"1", encoding="json", limits=Limits(time_ms=100)) == ("time-limit", Fault.GUEST)


def test_redefined_builtins_are_the_script_s_own_matter() -> None:
    script = """export default (value) => {
      JSON.stringify = JSON.parse = Object.keys = Array.prototype.push = null;
      globalThis.Array = globalThis.Map = undefined;
      return { value };
    }"""
    assert output(script, b"[1]", encoding="json") == b'{"value":[1]}'
    assert output("export default (v) => JSON.stringify(v)", b"x") == b'"x"'  # the next run has its own


def test_byte_order_mark_and_carriage_returns() -> None:
    script = b"\xef\xbb\xbf// a comment\r\nexport default (x) => {\r\n  return x;\r\n};\r\n"
    assert output(script, b"ok") == b"ok"


def test_a_script_of_16_mb() -> None:
    comment = "//" + "x" * (16 << 20) + "\n"
    assert output(comment + "export default (x) => x", b"ok") == b"ok"
    assert fault_of("[" + "1," * (8 << 20) + "]", b"", limits=Limits(fuel=1_000_000_000)) == ("fuel-limit", Fault.GUEST)


def test_nothing_is_left_of_the_run_before() -> None:
    counter = "let runs = 0; export default () => String(++runs)"
    with waspi.Module.compile(counter, abi={"format": "javascript"}) as module:
        assert [module.run(b"").output for _ in range(3)] == [b"1", b"1", b"1"]
        with module.instantiate() as instance:
            assert [instance.run(b"").output for _ in range(3)] == [b"1", b"2", b"3"]


def test_a_description_that_does_not_fit_a_script_is_refused() -> None:
    for wrong in (
        {"format": "javascript", "headroom": 5},
        {"encoding": "json"},
        {"format": "python"},
        {"format": "javascript", "encoding": "xml"},
    ):
        with pytest.raises(ConfigError):
            waspi.run(b"", b"", abi=wrong)


def test_a_script_has_a_digest_and_no_artifact() -> None:
    import hashlib  # noqa: PLC0415

    script = b"export default (x) => x"
    with waspi.Module.compile(script, abi={"format": "javascript"}) as module:
        assert module.sha256 == hashlib.sha256(script).hexdigest()
        module.check_abi()
        with pytest.raises(UsageError):
            module.serialize()


def test_the_engine_in_the_package_is_the_one_that_was_built(guests: Path) -> None:
    assert javascript.bytecode() == (guests / "javascript.wasm").read_bytes()
    assert javascript.engine().name.startswith("quickjs-ng ")
    if ENGINE_IS_COMPILED:
        with waspi.Module.compile(guests / "javascript.wasm") as module:  # within the bounds of a device
            assert {module for module, _, _ in module.imports} == {"waspi", "wasi_snapshot_preview1"}
