"""Names of C++ and Rust functions, compared with c++filt."""

from __future__ import annotations

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


def test_never_another_name_than_cxxfilt(cpp_symbols: list[str]) -> None:
    listing = "\n".join(cpp_symbols) + "\n"
    output = subprocess.run(["c++filt", "-p"], input=listing, check=True, capture_output=True, text=True).stdout
    truth = dict(zip(cpp_symbols, output.splitlines(), strict=True))
    wrong = {s: demangle(s) for s in cpp_symbols if demangle(s) not in (s, truth[s])}
    assert wrong == {}
    made = {demangle(s) for s in cpp_symbols}
    assert made >= {
        "outer::inner::Thing::Thing",
        "outer::inner::Thing::~Thing",
        "outer::inner::Thing::method",
        "outer::inner::Thing::make",
        "outer::inner::Thing::Deep::work",
        "(anonymous namespace)::hidden",
        "local",
        "clone",
    }


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
        ("_ZN3foo3bar17h0123456789abcdefE.llvm.42", "foo::bar.llvm.42"),
        ("_ZN3foo3barEv.part.0.cold", "foo::bar [clone .part.0.cold]"),
        ("_ZNK3foo3barEv", "foo::bar"),
    ],
)
def test_known_names(symbol: str, name: str) -> None:
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
        "_Z3fooIiEvT_",
        "_ZN3fooIiE3barEv",
        "_ZN3fooplERKS_",
        "_ZN3foo3barB5cxx11Ev",
        "_ZNSt6vectorIiE4pushEv",
        "_ZTV3foo",
        "_ZZ4mainvENKUlvE_clEv",
        "_RNvCs1234_7mycrate3foo",
        "_ZN17h0123456789abcdefE",
        "_ZN1$u1b$17h0123456789abcdeE",
    ],
)
def test_what_is_not_plain_stays_as_it_is(symbol: str) -> None:
    assert demangle(symbol) == symbol


def test_escapes_in_rust_names_stay_escaped() -> None:
    name = demangle("_ZN5$u1b$2ab17h0123456789abcdefE")
    assert name == "$u1b$::ab"
