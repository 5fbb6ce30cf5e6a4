"""Names of C++ and Rust functions, compared with c++filt."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from ebtop.symbols.demangle import demangle

CPP = """
#include <map>
#include <string>
#include <vector>
namespace outer { namespace inner {
struct Thing {
    Thing(int n); ~Thing(); int method(int) const; static void make(const std::string &); template <class T> T get(T);
    Thing &operator+=(const Thing &); operator bool() const; struct Deep { void work(Thing *, Thing *); };
    std::map<std::string, std::vector<int>> table;
};
Thing::Thing(int n) { table["a"].push_back(n); }
Thing::~Thing() {}
int Thing::method(int x) const { return x + (int)table.size(); }
void Thing::make(const std::string &s) { auto f = [&](int x) { return Thing(x).method((int)s.size()); }; f(1); }
Thing &Thing::operator+=(const Thing &) { return *this; }
Thing::operator bool() const { return true; }
void Thing::Deep::work(Thing *, Thing *) {}
template <class T> T Thing::get(T t) { return t; }
template int Thing::get<int>(int);
} }
template <class F, class... A> int call(F f, A... a) { return f(a...); }
template <int (*F)(int), bool B, char C, class T> struct Values { int run(T (&x)[3]) { return F(x[0]) + B + C; } };
int twice(int x) { return 2 * x; }
template struct Values<&twice, true, 'A', long>;
struct Base { virtual ~Base() {} virtual int f() const & { return 1; } };
struct Left : virtual Base { int f() const & override { return 2; } };
struct Right { virtual int g(int (*)(int), void (Base::*)(), int Right::*) { return 3; } int value; };
struct Both : Right, Left { int g(int (*)(int), void (Base::*)(), int Right::*) override { return 4; } };
int use() {
    Both both;
    auto outer = [&](auto x, const char *) { auto inner = [x](int y) { return (int)x + y; }; return inner(1); };
    return call(outer, 1.5, "a") + call([](int (*a)[2]) { return (*a)[0]; }, new int[1][2]) + both.f();
}
thread_local std::string per_thread("a");
const char *text() { return per_thread.c_str(); }
namespace { __attribute__((noinline, used)) int hidden(int x) { return x * 2; } }
__attribute__((noinline, used)) static int local(int x) { return x * 3; }
int clone(const char *) { return local(hidden(1)); }
int variable = 1;
namespace outer { int counter = 2; }
"""


@pytest.fixture(scope="module")
def cpp_symbols(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("demangle")
    (directory / "names.cc").write_text(CPP)
    target: Path = directory / "names.o"
    subprocess.run(["g++", "-O0", "-c", "-o", target, directory / "names.cc"], check=True)
    output = subprocess.run(["nm", target], check=True, capture_output=True, text=True).stdout
    return [f[-1] for f in map(str.split, output.splitlines()) if f[-2] in "tTwW" and f[-1].startswith("_Z")]


def cxxfilt(symbols: list[str], *flags: str) -> list[str]:
    listing = "\n".join(symbols) + "\n"
    output = subprocess.run(["c++filt", *flags], input=listing, check=True, capture_output=True, text=True).stdout
    return output.splitlines()


def alike(name: str) -> str:
    """As c++filt writes it, without what is written in another way on purpose."""
    for short in ("istream", "ostream", "iostream", "string"):
        in_full = rf"std::basic_{short}<char, std::char_traits<char>(, std::allocator<char>)? >"
        name = re.sub(in_full, f"std::{short}", name)
    # Functions whose address is an argument: here never with parameters.
    name = re.sub(r"&\((?:\w+ )?([^()]*)\([^()]*\)(?: const)?\)", r"&\1", name)
    return re.sub(r" (?=>)", "", name)


def differences(symbols: list[str]) -> dict[str, tuple[str, str]]:
    truth = dict(zip(symbols, cxxfilt(symbols, "-p"), strict=True))
    made = {symbol: (demangle(symbol), truth[symbol]) for symbol in symbols}
    return {symbol: names for symbol, names in made.items() if alike(names[0]) != alike(names[1])}


def test_all_names_of_a_program_as_cxxfilt_has_them(cpp_symbols: list[str]) -> None:
    assert len(cpp_symbols) > 100
    assert differences(cpp_symbols) == {}
    made = {demangle(s) for s in cpp_symbols}
    assert made >= {
        "outer::inner::Thing::Thing",
        "outer::inner::Thing::~Thing",
        "outer::inner::Thing::method",
        "outer::inner::Thing::operator+=",
        "outer::inner::Thing::operator bool",
        "outer::inner::Thing::get<int>",
        "Values<&twice, true, (char)65, long>::run",
        "virtual thunk to Left::f() const &",
        "TLS init function for per_thread[abi:cxx11]",
        "(anonymous namespace)::hidden",
        "local",
        "clone",
    }


def test_names_of_the_standard_library() -> None:
    found = subprocess.run(["g++", "-print-file-name=libstdc++.so"], check=True, capture_output=True, text=True).stdout
    output = subprocess.run(["nm", "-D", "--defined-only", found.strip()], check=True, capture_output=True, text=True)
    symbols = sorted({f[-1].partition("@")[0] for f in map(str.split, output.stdout.splitlines()) if f[-2] in "tTwWi"})
    symbols = [symbol for symbol in symbols if symbol.startswith("_Z")]
    assert len(symbols) > 2000
    assert differences(symbols) == {}


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
        (
            "_ZN42_$LT$$RF$T$u20$as$u20$core..fmt..Debug$GT$3fmt17hd337d4f35b7ba485E",
            "<&T as core::fmt::Debug>::fmt",
        ),
        (
            "_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$17ha86af84d9cc65291E",
            "std::rt::lang_start::{{closure}}",
        ),
        ("_ZN3foo3bar17h0123456789abcdefE.llvm.42", "foo::bar"),
        ("_ZN3foo3bar17h0123456789abcdefE.cold", "foo::bar.cold"),
        ("_ZN3foo3barEv.part.0.cold", "foo::bar [clone .part.0.cold]"),
        ("_ZNK3foo3barEv", "foo::bar"),
        ("_ZN3fooIJEE1gEv", "foo<>::g"),
        ("_ZN3fooIiJidEE1gEv", "foo<int, int, double>::g"),
        ("_ZN3fooIFPFviEdEE1gEv", "foo<void (*(double))(int)>::g"),
        ("_ZN3fooIPDoFvvEE1gEv", "foo<void (*)() noexcept>::g"),
        ("_ZN3fooIA3_A4_iE1gEv", "foo<int [3][4]>::g"),
        ("_ZN3fooIM3BarKFviEE1gEv", "foo<void (Bar::*)(int) const>::g"),
        ("_ZN3foolsIiEEvv", "foo::operator<< <int>"),
        ("_ZN2ns3$_08__invokeEv", "ns::$_0::__invoke"),
    ],
)
def test_known_names(symbol: str, name: str) -> None:
    assert demangle(symbol) == name


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        # Examples of RFC 2603, and what rustc 1.9x makes of closures, constants, traits and raw identifiers.
        ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
        ("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>"),
        ("_RNCNvC4main4main0", "main::main::{closure#0}"),
        ("_RNCNvC4main4mains_0", "main::main::{closure#1}"),
        ("_RNvMs_CsjMaewn57Afh_1tINtB4_4FlagKb1_Kc78_Kln5_E2goB4_", "<t::Flag<true, 'x', -5>>::go"),
        ("_RNvMs_CsjMaewn57Afh_1tINtB4_4FlagKb0_Kca_Kl7_E2goB4_", "<t::Flag<false, '\\n', 7>>::go"),
        (
            "_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtCslNYArtu3iFV_5alloc5boxed3BoxDINtNtNtB4_3ops8function"
            "6FnOnceuEp6OutputuNtNtB4_6marker4SendEL_EECsjMaewn57Afh_1t.llvm.8292148110355013435",
            "core::ptr::drop_in_place::<alloc::boxed::Box<dyn core::ops::function::FnOnce<(), Output = ()> + "
            "core::marker::Send>>",
        ),
        (
            "_RNSNvYNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0INtNtNtCsgEmfK2I1SDS_4core3ops8function6FnOnceuE9call_"
            "once6vtableCsjMaewn57Afh_1t",
            "<std::rt::lang_start<()>::{closure#0} as core::ops::function::FnOnce<()>>::call_once::{shim:vtable#0}",
        ),
        ("_RINvCs1_1a1bFG_KCRL0_hEuE", "a::b::<for<'a> extern \"C\" fn(&'a u8)>"),
        ("_RINvCs1_1a1bTAhj4_SxQePlThEEE", "a::b::<([u8; 4], [i64], &mut str, *const i32, (u8,))>"),
        ("_RNvCs1_1au10mnchen_3ya", "a::münchen"),
    ],
)
def test_known_rust_names(symbol: str, name: str) -> None:
    assert demangle(symbol) == name


@pytest.mark.parametrize(
    "symbol",
    [
        "main",
        "_Z",
        "_ZN",
        "_ZNE",
        "_ZN3fooE",
        "_ZN3foo3bar",
        "_ZN99fooEv",
        "_ZN9999999999999999fooEv",
        "_ZN3fooC1",
        "_ZNC1Ev",
        "_Z3foo",
        "_ZN3fooIT_E3barEv",
        "_ZN3fooIS5_E3barEv",
        "_ZN3fooIDpiE1gEv",
        "_ZN3fooIXplLi1ELi2EEE1gEv",
        "_ZN17h0123456789abcdefE",
        "_ZN1$u1b$17h0123456789abcdeE",
        "_R",
        "_RNv",
        "_RNvC",
        "_RNvB_1a",
        "_RNvCs1_1a9b",
        "_RINvC1a1bRL5_hE",
        "_RINvC1a1bKb7_E",
    ],
)
def test_what_can_not_be_read_stays_as_it_is(symbol: str) -> None:
    assert demangle(symbol) == symbol


def test_escapes_in_rust_names_stay_escaped() -> None:
    name = demangle("_ZN5$u1b$2ab17h0123456789abcdefE")
    assert name == "$u1b$::ab"


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param("_Z3fooI" + "1aI" * 900 + "i" + "E" * 901 + "vv", id="deep templates"),
        pytest.param("_ZN3fooI" + "P" * 3000 + "iE1gEv", id="deep pointers"),
        pytest.param("_ZN3fooI" + "J" * 1500 + "i" + "E" * 1502 + "1gEv", id="deep packs"),
        pytest.param("_Z" + "GTt" * 1200 + "1av", id="encodings within encodings"),
        pytest.param("_Z" + "Z" * 800 + "1av" + "E1a" * 800 + "v", id="deep local names"),
        pytest.param("_ZN1aI" + "X" + "ng" * 1500 + "Li1E" + "EE1gEv", id="deep expressions"),
        pytest.param("_RNvC1a" + "R" * 3000, id="rust references"),
        pytest.param("_RIC1a" + "S" * 3000 + "hE", id="rust slices"),
        pytest.param("_RNvB_B_", id="rust back reference to itself"),
    ],
)
def test_hostile_depth_is_given_up(symbol: str) -> None:
    assert demangle(symbol) == symbol


def test_references_that_double_the_text_end() -> None:
    """Each argument list names the one before twice: 2**40 characters if nobody counts."""
    doubling = "1aIiiE" + "".join([f"1aIS{_base36(2 * n + 1)}_S{_base36(2 * n + 1)}_E" for n in range(40)])
    assert demangle(f"_Z1fI{doubling}Evv").startswith("_Z")
    rust = "_RIC1a" + "T" + "hh" + "E" + "".join(["TB5_B5_E" for _ in range(400)]) + "E"
    assert len(demangle(rust)) < 10_000


def _base36(number: int) -> str:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return digits[number] if number < 36 else digits[number // 36] + digits[number % 36]


def test_damaged_names_never_raise_and_stay_short(cpp_symbols: list[str]) -> None:
    chance = random.Random(7)
    rust = ["_RNSNvYNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0INtNtNtCsgEmfK2I1SDS_4core3ops8function6FnOnceuE9call_o"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$.é\x1b"
    for _ in range(4000):
        symbol = list(chance.choice(cpp_symbols + rust * 60))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(2, len(symbol))
            symbol[at : at + chance.randrange(3)] = chance.choices(letters, k=chance.randrange(4))
        assert len(demangle("".join(symbol))) < 20_000
