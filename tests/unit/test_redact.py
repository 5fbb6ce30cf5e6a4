from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.store.records import EventRecord
from ebtop.store.redact import MASK, Redactor, Rules, load_rules
from tests.unit.record_makers import at, exec_, tcp

SECRETS = [
    "app --password HUNTER2 --port 80",
    "app --db-password=HUNTER2",
    "app -password HUNTER2",
    "app --apiKey HUNTER2 x",
    "app --client-secret=HUNTER2",
    "app --auth-token HUNTER2",
    "java -Djavax.net.ssl.keyStorePassword=HUNTER2 -jar x.jar",
    "mysql -uroot -pHUNTER2 db",
    "/usr/bin/mysqldump -pHUNTER2 db",
    "sudo -u db mysql --password=HUNTER2",
    "curl -u admin:HUNTER2 https://example.org",
    "curl -uadmin:HUNTER2 https://example.org",
    "curl -H 'Authorization: Bearer HUNTER2HUNTER2' https://example.org",
    "curl -H 'Authorization: Basic HUNTER2' https://example.org",
    "curl -H 'X-Api-Key: HUNTER2' https://example.org",
    "curl --cookie session=HUNTER2 https://example.org",
    "curl 'https://example.org/?user=a&access_token=HUNTER2&x=1'",
    "curl 'https://example.org/b?X-Amz-Signature=HUNTER2&x=1'",
    "wget --header='Cookie: a=HUNTER2' https://example.org",
    "git clone https://bob:HUNTER2@example.org/x.git",
    "psql postgresql://bob:HUNTER2@db/x",
    "psql 'host=db user=bob password=HUNTER2 dbname=x'",
    "sqlcmd -S 'Server=x;Password=HUNTER2;Database=y'",
    "env PGPASSWORD=HUNTER2 psql",
    "env DB_PASSWD=HUNTER2 AWS_SECRET_ACCESS_KEY=HUNTER2 run",
    "sh -c 'export API_KEY=HUNTER2; run'",
    """sh -c "mysql -p'HUNTER2 HUNTER2' db && echo done" """,
    "sh -c 'curl -u bob:HUNTER2 http://x | jq .'",
    """python -c '{"user": "x", "password": "HUNTER2 HUNTER2"}'""",
    "sshpass -p HUNTER2 ssh host",
    "sshpass -pHUNTER2 ssh host",
    "redis-cli -a HUNTER2 -h x",
    "mongosh -u a -p HUNTER2",
    "ldapsearch -D cn=x -w HUNTER2",
    "docker login -u bob -p HUNTER2 registry",
    "skopeo copy --src-creds bob:HUNTER2 a b",
    "helm install --set=db.password=HUNTER2,db.user=y chart",
    "openssl rsa -passin pass:HUNTER2 -in x",
    "smbclient -U bob%HUNTER2 //host/share",
    "sqlplus scott/HUNTER2@db",
    "nmcli dev wifi connect x password HUNTER2",
    "vault login HUNTER2",
    "aws configure set aws_secret_access_key HUNTER2",
    "7z a -pHUNTER2 x.7z y",
    "run AKIAIOSFODNN7EXAMPLE",
    "run ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "run github_pat_11ABCDEFG0123456789_abcdefghij",
    "run eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "run xoxb-123456789012-abcdefghij",
    "run glpat-abcdefghij0123456789",
    "run sk-proj0123456789abcdefghij",
    r"run '-----BEGIN RSA PRIVATE KEY-----\x0aMIIEabc\x0a-----END RSA PRIVATE KEY-----'",
    "usermod -p '$6$saltsalt$0123456789abcdefghijklmnop' bob",
]
SHAPED = ("AKIAIOSFODNN7EXAMPLE", "0123456789", "eyJhbGci", "MIIEabc", "abcdefghij")

HARMLESS = [
    "ls -l /tmp/compass pass",
    "docker run -p 80:80 image",
    "mysql -p db",
    "kubectl get secret mysecret",
    "ssh -o PasswordAuthentication=no host",
    "app --no-password user --max-tokens 5 --token-file /run/x --password-stdin",
    "env PWD=/root OLDPWD=/ ls",
    "nginx -g 'daemon off;'",
    "python -m http.server 8000",
    "cp -p a b",
    "curl https://example.org/a:b@c",
    "rsync -avz --partial /home/bob/secrets/ host:/backup",
    "ssh-keygen -t ed25519 -f key",
    "git log --author=bob --format=%H",
    "grep -r token src",
    "openssl s_client -connect host:443",
]


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_is_masked_in_an_argv_and_in_a_line(line: str) -> None:
    args = tuple(shlex.split(line))
    for masked in (" ".join(Redactor().args(args)), Redactor().text(line), Redactor().text(shlex.join(args))):
        assert "HUNTER2" not in masked
        assert not any(shape in masked for shape in SHAPED)
        assert MASK in masked


@pytest.mark.parametrize("line", HARMLESS)
def test_what_holds_no_secret_stays_as_it_is(line: str) -> None:
    redactor, args = Redactor(), tuple(shlex.split(line))
    assert redactor.args(args) is args
    assert redactor.text(line) == line
    assert redactor.masked == 0


def test_masking_keeps_the_rest_of_a_command() -> None:
    redactor = Redactor()
    assert redactor.args(("curl", "-u", "bob:x", "https://a:b@c/?token=t&x=1", "-o", "out")) == (
        "curl", "-u", "bob:***", "https://a:***@c/?token=***&x=1", "-o", "out",
    )  # fmt: skip
    assert redactor.masked == 3
    assert Redactor().text("app --password 'two words' --port 80") == "app --password '***' --port 80"


def test_every_time_counts_and_what_is_masked_does_not_count_again() -> None:
    redactor = Redactor()
    masked = redactor.args(("app", "--token=x"))
    assert redactor.args(("app", "--token=x")) == masked
    assert redactor.masked == 2
    assert redactor.args(masked) is masked
    assert redactor.text("curl -u bob:*** https://a:***@c -H 'Cookie: ***'") == (
        "curl -u bob:*** https://a:***@c -H 'Cookie: ***'"
    )
    assert redactor.masked == 2


def test_records_are_masked_where_they_have_text_of_a_command() -> None:
    redactor = Redactor()
    run = exec_(1, args="app --password x")
    assert redactor.record(run) == run._replace(args=("app", "--password", MASK))
    plain = exec_(1, args="app -v")
    assert redactor.record(plain) is plain
    event = EventRecord(at(0), 1, "app", 0, None, "setenv", (("api_token", "x"), ("text", "PASSWORD=y z"), ("n", 3)))
    assert redactor.record(event) == event._replace(
        fields=(("api_token", MASK), ("text", f"PASSWORD={MASK} z"), ("n", 3))
    )
    connection = tcp("connect", 1)
    assert redactor.record(connection) is connection


def test_a_user_adds_words_flags_and_patterns(tmp_path: Path) -> None:
    file = tmp_path / "redact.toml"
    file.write_text('words = ["pin"]\npatterns = ["MYCO-[0-9]{4}"]\n[flags]\nmytool = ["-k", "--unlock"]\n')
    redactor = Redactor(load_rules(file))
    assert redactor.text("app --pin 1234 --card-pin=1 x") == "app --pin *** --card-pin=*** x"
    assert redactor.text("run MYCO-1234") == "run ***"
    unlocked = redactor.args(("/opt/mytool", "-k", "a", "--unlock=b", "c"))
    assert unlocked == ("/opt/mytool", "-k", MASK, "--unlock=***", "c")
    assert redactor.text("app --password x") == "app --password ***"


def test_no_file_of_a_user_adds_nothing(tmp_path: Path) -> None:
    assert load_rules(tmp_path / "redact.toml") == Rules()


@pytest.mark.parametrize(
    "text",
    ["words = 3", 'words = [""]', 'patterns = ["("]', "flags = 3", "[flags]\nx = 1", "colour = 1", "words = [", "\xff"],
)
def test_a_file_that_is_wrong_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "redact.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(EbtopError) as caught:
        load_rules(file)
    assert "redact.toml" in caught.value.line()
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize("text", ["", "'", '"' * 50, "--", "=", "-p", "a=" * 2000, "://" * 500, "--token", "curl -u"])
def test_odd_text_does_no_harm(text: str) -> None:
    assert isinstance(Redactor().text(text), str)
    assert Redactor().args((text, text)) is not None
