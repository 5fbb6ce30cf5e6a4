"""What counts as a secret in a command line. README.md, "Secrets", says it for people; `redact.toml` adds to it."""

from __future__ import annotations

import re

WORDS = (
    "password", "passwd", "passphrase", "passwort", "pass", "pwd", "pw", "secret", "secrets", "token", "tokens",
    "apikey", "accesskey", "secretkey", "privatekey", "authkey", "encryptionkey", "masterkey", "signingkey",
    "accountkey", "sharedaccesskey", "storagekey", "sessionkey", "credential", "credentials", "creds", "bearer",
    "otp", "psk",
)  # fmt: skip
"""A flag, variable or field is secret when its name ends in one of these: --db-password, PGPASSWORD, sasl.password,
api_key. In a word without separators only the longer ones count (PGPASSWORD does, compass does not)."""
INSIDE = ("password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey")
"""Those that also count at the end of a word."""
INNOCENT = frozenset(("pwd", "oldpwd", "max-tokens", "max_tokens"))
"""Names that would be secret by these rules and are not."""

VALUE, ATTACHED, CREDENTIALS, PASS_COLON, HEADER, PERCENT, SLASH = (
    "value", "attached", "credentials", "pass:", "header", "percent", "slash",
)  # fmt: skip
"""How a flag carries its secret: as the next argument or attached to it; attached only; behind the first colon of it;
behind pass:; in a header line; behind a % sign; behind a slash."""

_MYSQL = {"-p": ATTACHED}
_LDAP = {"-w": VALUE}
_MONGO = {"-p": VALUE}
_REGISTRY = {"--creds": CREDENTIALS, "--src-creds": CREDENTIALS, "--dest-creds": CREDENTIALS}
_REGISTRY_TOOLS = ("docker", "podman", "buildah", "skopeo", "nerdctl", "helm", "oc", "crane", "oras")
_ARCHIVE = {"-P": VALUE}
_SNMP = {"-c": VALUE, "-A": VALUE, "-X": VALUE}
_MQTT = {"-P": VALUE}
_TDS = {"-P": VALUE}

TOOLS: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        ("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mysqlcheck", "mysqlbinlog", "mysqlpump",
         "mysqlsh", "mariadb", "mariadb-dump", "mariadb-admin", "mariadb-check", "mariadb-import", "mariabackup",
         "xtrabackup", "innobackupex"),
        _MYSQL,
    ),
    **dict.fromkeys(("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"), _MONGO),
    **dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldappasswd", "ldapwhoami"), _LDAP),
    **dict.fromkeys(_REGISTRY_TOOLS, _REGISTRY),
    **{f"{tool} login": {"-p": VALUE, **_REGISTRY} for tool in _REGISTRY_TOOLS},
    **dict.fromkeys(("zip", "unzip"), _ARCHIVE),
    **dict.fromkeys(("snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"), _SNMP),
    **dict.fromkeys(("mosquitto_pub", "mosquitto_sub"), _MQTT),
    **dict.fromkeys(("sqlcmd", "bcp", "tsql", "isql"), _TDS),
    "curl": {
        "-u": CREDENTIALS, "--user": CREDENTIALS, "-U": CREDENTIALS, "--proxy-user": CREDENTIALS, "-H": HEADER,
        "--header": HEADER, "--proxy-header": HEADER, "-b": VALUE, "--cookie": VALUE, "--oauth2-bearer": VALUE,
        "--pass": VALUE,
    },
    "wget": {"--header": HEADER},
    "http": {"-a": CREDENTIALS, "--auth": CREDENTIALS},
    "https": {"-a": CREDENTIALS, "--auth": CREDENTIALS},
    "sshpass": {"-p": VALUE},
    "redis-cli": {"-a": VALUE},
    "smbclient": {"-U": PERCENT, "--user": PERCENT},
    "rpcclient": {"-U": PERCENT, "--user": PERCENT},
    "openssl": {
        "-passin": PASS_COLON, "-passout": PASS_COLON, "-pass": PASS_COLON, "-k": VALUE, "-K": VALUE,
        "-password": PASS_COLON,
    },
    "7z": {"-p": ATTACHED},
    "7za": {"-p": ATTACHED},
    "7zz": {"-p": ATTACHED},
    "rar": {"-p": ATTACHED, "-hp": ATTACHED},
    "unrar": {"-p": ATTACHED},
    "ipmitool": {"-P": VALUE},
    "xfreerdp": {"/p:": ATTACHED},
    "rdesktop": {"-p": VALUE},
    "sqlplus": {"": SLASH},
    "nmcli": {"password": VALUE, "wifi-sec.psk": VALUE, "802-11-wireless-security.psk": VALUE},
    "vault": {"login": VALUE},
    "aws": {"aws_secret_access_key": VALUE, "aws_session_token": VALUE},
    "influx": {"-t": VALUE},
    "ngrok": {"add-authtoken": VALUE},
    "tailscale": {"--auth-key": VALUE, "--authkey": VALUE},
    "consul": {"-token": VALUE},
    "nomad": {"-token": VALUE},
    "etcdctl": {"--user": CREDENTIALS},
    "svn": {"--password": VALUE},
}  # fmt: skip
"""Flags of single programs, or of one command of theirs, beyond those whose name says it. A flag "" is each argument
that is no flag."""

HEADERS = re.compile(
    r"(?i)\b((?:proxy-)?authorization|x-api-key|x-auth-token|x-vault-token|x-amz-security-token|private-token"
    r"|x-[a-z-]*(?:token|secret|api-?key)|set-cookie|cookie)(\s*:\s*)((?:bearer|basic|token|digest|negotiate)\s+)?([^\"'\r\n]+)"
)
BEARER = re.compile(r"(?i)\b(bearer\s+)([\w.~+/=-]{12,})")
URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@\"']*:)([^\s/\"']+)(@)")
"""scheme://user:SECRET@host."""
QUERY = re.compile(r"(?i)([?&;](?:sig|signature|x-amz-signature|x-goog-signature|code|key|auth|sid)=)([^&\s\"'#;]{6,})")
"""Parameters of a URL that are secret though their name alone does not say it."""

SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|$)",
            r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",  # AWS access key
            r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?",  # JWT
            r"\bgh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
            r"\bgithub_pat_\w{20,}",
            r"\bgl(?:pat|ptt|dt|rt|cbt|soat|agent)-[\w-]{20,}",  # GitLab
            r"\bxox[abeoprs]-[\w-]{10,}",  # Slack
            r"\bhooks\.slack\.com/services/[\w/]{20,}",
            r"\b(?:sk|rk)_(?:live|test)_\w{16,}",  # Stripe
            r"\bsk-[\w-]{20,}",  # OpenAI, Anthropic
            r"\bAIza[\w-]{35}",  # Google
            r"\bya29\.[\w-]{20,}",
            r"\bnpm_[A-Za-z0-9]{36}",
            r"\bpypi-[\w-]{32,}",
            r"\bSG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
            r"\bhv[sbr]\.[\w-]{20,}",  # Vault
            r"\bdo[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
            r"\bdckr_pat_[\w-]{20,}",
            r"\bhf_[A-Za-z]{30,}",  # Hugging Face
            r"\bAGE-SECRET-KEY-1[A-Z0-9]{30,}",
            r"\b\d{8,10}:AA[\w-]{33}\b",  # Telegram
            r"\$(?:1|2[abxy]|5|6|7|y|gy|argon2id?|scrypt)\$[\w./$=,+-]{20,}",  # a password's hash
        )
    ),
    re.DOTALL,
)

HINTS = (
    "pass", "pwd", "-pw", "_pw", ".pw", "pw=", "pw:", "secret", "token", "key", "cred", "auth", "cookie", "bearer",
    "otp", "psk", "://", "akia", "asia", "abia", "acca", "eyj", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat",
    "glpat", "glptt", "gldt", "glrt", "glcbt", "glsoat", "glagent", "xox", "hooks.slack", "sk_", "rk_", "sk-", "aiza",
    "ya29.", "npm_", "pypi-", "sg.", "hvs.", "hvb.", "hvr.", "_v1_", "dckr_", "hf_", ":aa", "$1$", "$2", "$5$", "$6$",
    "$7$", "$y$", "$gy$", "$argon2", "$scrypt", "sig=", "signature=", "code=", "sid=",
)  # fmt: skip
"""A text that has none of these, in any case, and no program of `TOOLS`, holds nothing that the rules find."""
