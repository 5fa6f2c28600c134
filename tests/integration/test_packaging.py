"""
What packages are made of: service units, accounts, folders, lists of files. Whether it all works
installed is for packaging/check-packages.
"""

import glob
import os
import pathlib
import re
import subprocess

import pytest

from support.daemons import BUILD, TOP, coexistctl, program

DEBIAN = pathlib.Path(TOP, "packaging", "debian")
SERVICES = ("coexist-syncd", "coexist-milter", "coexist-policyd")
# What rules moves out of the way, or makes beside "make install".
NOT_PACKAGED = {"etc/coexist/coexist.conf.example"}
MADE_BY_RULES = {"usr/share/coexist/directory-key", "usr/share/doc/coexist/examples/coexist.conf"}


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What "make install" installs, configured as it was, and the prefix."""
    root = tmp_path_factory.mktemp("installed")
    run("make", "-s", "-C", BUILD, "install", f"DESTDIR={root}")
    unit = next(root.rglob("coexist-syncd.service"))
    return root, unit.parents[3]


def unit_text(installed, name):
    return (installed[1] / "lib/systemd/system" / f"{name}.service").read_text(encoding="ascii")


def values(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def test_units_are_understood(installed):
    root, prefix = installed
    units = sorted(glob.glob(f"{prefix}/lib/systemd/system/*.service"))
    assert [os.path.basename(u) for u in units] == sorted(f"{s}.service" for s in SERVICES)
    # The commands are looked for in the root.
    (root / "bin").mkdir()
    (root / "bin/sh").symlink_to("/bin/true")
    done = subprocess.run(["systemd-analyze", "verify", f"--root={root}", "--man=no",
                           "--recursive-errors=no", *units],
                          capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "coexist" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_units_are_closed(installed, name):
    done = run("systemd-analyze", "security", "--offline=true",
               f"{installed[1]}/lib/systemd/system/{name}.service")
    score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)[1])
    assert score < 2.0, done.stdout


def test_units_are_closed_alike(installed):
    """So that what is taken from one by mistake is missed."""
    def closing(name):
        text = unit_text(installed, name).partition("NoNewPrivileges=")[2]
        return [line for line in text.splitlines() if not line.startswith(("#", "ReadWritePaths="))]

    assert closing("coexist-milter") == closing("coexist-policyd") == closing("coexist-syncd")


def test_units_do_what_the_daemons_expect(installed):
    for name in SERVICES:
        text = unit_text(installed, name)
        assert values(text, "Type") == ["notify"]
        assert values(text, "ExecStart")[0].endswith(f"/sbin/{name} -f")
        assert values(text, "ExecReload")[0].endswith(f"/sbin/{name} -t")
        assert values(text, "Restart") == ["always"]
        assert values(text, "RestartPreventExitStatus") == ["64 78"]  # wrong usage, wrong configuration
        assert values(text, "SyslogFacility") == ["mail"]
        assert values(text, "UMask") == ["0077"]
        assert values(text, "ExecReload")[-1] == '/bin/sh -c "kill -USR1 ${MAINPID}"'
        assert values(text, "WatchdogSec")
        # postfix.service is a shell on Debian; postfix@-.service runs master.
        assert {"postfix.service", "postfix@-.service"} <= set(values(text, "Before")[0].split())
        assert len(values(text, "User")) == 1
        condition, = values(text, "ConditionPathExists")
        assert f"({condition})\n" in run(program(name), "-h").stdout
        if name == "coexist-syncd":
            assert values(text, "Group") == ["coexist"]  # whose members read the replica
            assert values(text, "StateDirectoryMode") == ["2750"]
        else:
            assert "coexist-syncd.service" in values(text, "After")[0].split()
            # Read-only, LMDB would do without the table of readers.
            # The folder is the program's default, wherever the programs are installed.
            assert "/var/lib/coexist" in values(text, "ReadWritePaths")
        assert values(text, "StartLimitIntervalSec") == ["0"]
        # One that was told to stop by another than systemd comes back: mail waits for it.
        assert values(text, "Restart") == ["always"]
        assert values(text, "LimitCORE") == ["0"]  # secrets are in their memory


def test_programs_look_where_the_files_are(installed):
    root = installed[0]
    example = next(root.rglob("coexist.conf.example")).relative_to(root)
    for name in (*SERVICES, "coexistctl"):
        assert f"/{example.with_suffix('')})\n" in run(program(name), "-h").stdout


def groups_of(root, user):
    lines = [line.split(":") for line in (root / "etc/group").read_text(encoding="ascii").splitlines()]
    passwd = dict((line.split(":")[0], line.split(":")[3])
                  for line in (root / "etc/passwd").read_text(encoding="ascii").splitlines())
    return {g[0] for g in lines if user in g[3].split(",") or g[2] == passwd[user]}


def test_accounts_and_folders(installed):
    root, prefix = installed
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/group").write_text("root:x:0:\npostfix:x:4242:\n", encoding="ascii")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    run("systemd-sysusers", f"--root={root}", f"{prefix}/lib/sysusers.d/coexist.conf")
    users = {values(unit_text(installed, name), "User")[0] for name in SERVICES}
    assert users == {"coexist-sync", "coexist-milter", "coexist-policy"}
    assert groups_of(root, "coexist-sync") == {"coexist"}
    for user in ("coexist-milter", "coexist-policy"):
        assert groups_of(root, user) == {user, "coexist", "coexist-sign"}

    # Names in ACLs are looked up on this host, whatever --root says.
    ids = {line.split(":")[0]: line.split(":")[2]
           for line in (root / "etc/passwd").read_text(encoding="ascii").splitlines()}
    folders = (prefix / "lib/tmpfiles.d/coexist.conf").read_text(encoding="ascii")
    (root / "folders.conf").write_text(
        re.sub("user:([a-z-]+)", lambda match: f"user:{ids[match[1]]}", folders), encoding="ascii")
    run("systemd-tmpfiles", f"--root={root}", "--create", f"{root}/folders.conf")
    sockets = root / "var/spool/postfix/coexist"
    assert (sockets.stat().st_gid, sockets.stat().st_mode & 0o7007) == (4242, 0o3000)
    acl = run("getfacl", "-cn", str(sockets)).stdout
    assert sorted(acl.split()) == sorted([
        "user::rwx", f"user:{ids['coexist-milter']}:rwx", f"user:{ids['coexist-policy']}:rwx",
        "group::--x", "mask::rwx", "other::---"])
    replica = next(root.rglob("var/lib/coexist"))
    assert replica.stat().st_mode & 0o7777 == 0o2750
    assert replica.stat().st_uid == int(ids["coexist-sync"])


def listed(*names):
    lines = [line for name in names
             for line in (DEBIAN / name).read_text(encoding="ascii").splitlines()]
    return {line for line in lines if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def files(installed):
    """As "make install" with --prefix=/usr --sysconfdir=/etc would name them."""
    prefix = installed[1]
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    return {f if f.startswith("etc/") else f"usr/{f}" for f in found if not f.startswith("var/")}


def select(files, patterns):
    """The files that any of them names, itself or by its folder. None may be in vain."""
    wanted = set()
    for pattern in patterns:
        found = {f for f in files
                 if pathlib.PurePath(f).match(pattern) or f.startswith(pattern + "/")}
        assert found, f"{pattern}: not installed by make"
        wanted |= found
    return wanted


def test_every_program_and_file_format_has_a_page(files):
    programs = {pathlib.PurePath(f).name for f in files if re.match("usr/s?bin/", f)}
    assert {*SERVICES, "coexistctl", "coexist-load-schema"} == programs
    pages = {pathlib.PurePath(f).name for f in files if f.startswith("usr/share/man/man")}
    assert pages == {f"{name}.8" for name in programs} | {
        "coexist.conf.5", "coexist-schema.5", "coexist.7", "coexist-metrics.7"}


def test_debian_packages_hold_what_is_installed(files):
    patterns = listed("coexist.install", "coexist-schema.install", "coexist.manpages",
                      "coexist-schema.manpages", "not-installed") - MADE_BY_RULES
    patterns = {re.sub("^lib/systemd", "usr/lib/systemd", pattern) for pattern in patterns}
    assert select(files, patterns) == files - NOT_PACKAGED


def test_rpm_packages_hold_what_is_installed(files):
    spec = pathlib.Path(TOP, "packaging/rpm/coexist.spec").read_text(encoding="ascii")
    macros = {"bindir": "usr/bin", "sbindir": "usr/sbin", "datadir": "usr/share", "mandir": "usr/share/man",
              "unitdir": "usr/lib/systemd/system", "sysusersdir": "usr/lib/sysusers.d",
              "tmpfilesdir": "usr/lib/tmpfiles.d"}
    # (presets are made by the spec)
    patterns = {f"{macros[macro]}/{rest}" for macro, rest in
                re.findall(r"^%\{_([a-z]+)\}/(\S+)$", spec.partition("\n%files\n")[2], re.MULTILINE)
                if macro != "presetdir"}
    documents = {f for f in files if f.startswith("usr/share/doc/")}  # by %doc, from the sources
    assert select(files, patterns) == files - NOT_PACKAGED - documents
    # packaging/check-rpm holds the packages to this list.
    lines = pathlib.Path(TOP, "packaging/rpm/files").read_text(encoding="ascii").splitlines()
    names = {line.split()[5].lstrip("/") for line in lines if re.match(r"coexist\S* 100", line)}
    made = {"etc/coexist/coexist.conf", "usr/lib/systemd/system-preset/95-coexist.preset"}
    assert {n for n in names if not re.match("usr/share/(doc|licenses)/", n)} == files - NOT_PACKAGED - documents | made
    listed_documents = {line.split()[5].removeprefix("/usr/share/doc/coexist/") for line in lines
                        if re.match(r"coexist-doc 100\S+ root root d ", line)}
    assert listed_documents == {re.sub("^doc/", "", str(path.relative_to(TOP))) for name in listed("coexist-doc.docs")
                                for path in ([pathlib.Path(TOP, name)] if pathlib.Path(TOP, name).is_file()
                                             else pathlib.Path(TOP, name).iterdir())}


NASTY = (("uri", "ldaps://ldap1.acme.example ldapi://%2Frun%2Fx"),
         ("bind_dn", r"cn=Smith\, John,dc=acme"), ("bind_dn", r'o=a\"b,dc=$HOME'),
         ("bind_dn", "cn='x',dc=1 // /*"), ("bind_dn", "dc=\u00e4,dc=example"))


def directory_key(action, path, *arguments):
    return run("sh", str(DEBIAN / "directory-key"), action, str(path), *arguments).stdout.removesuffix("\n")


@pytest.mark.parametrize("key,value", NASTY)
def test_answers_come_back_from_the_configuration(tmp_path, key, value):
    path = tmp_path / "coexist.conf"
    path.write_text(pathlib.Path(TOP, "doc/coexist.conf.example").read_text(encoding="utf-8"),
                    encoding="utf-8")
    directory_key("set", path, "base", "dc=ours")
    directory_key("set", path, "bind_dn", "cn=ours")
    directory_key("set", path, "bind_password_file", "/etc/coexist/ldap.secret")
    directory_key("set", path, key, value)
    assert directory_key("get", path, key) == value
    assert directory_key("get", path, "base") == "dc=ours"
    # A program must read the same; of what is wrong it would name the line.
    coexistctl(str(path), "postfix", check=True)
    before = path.read_text(encoding="utf-8").splitlines()
    directory_key("set", path, key, "")
    after = path.read_text(encoding="utf-8").splitlines()
    assert [b for a, b in zip(before, after) if a != b] == [f'\t#{key} = ""']
    assert len(before) == len(after)
    assert directory_key("get", path, key) == ""


def test_a_key_that_is_missing_is_added(tmp_path):
    path = tmp_path / "coexist.conf"
    path.write_text('# directory of ours\ndirectory "corp" {\n  uri = \'ldap://a\'\n}\n'
                    'directory "b" {\n  base = "dc=b"\n}\n', encoding="ascii")
    path.chmod(0o640)
    assert directory_key("get", path, "uri") == "ldap://a"
    assert directory_key("get", path, "base") == ""
    directory_key("set", path, "base", "dc=acme")
    directory_key("set", path, "uri", "ldap://b")
    assert path.read_text(encoding="ascii") == (
        '# directory of ours\ndirectory "corp" {\n\tbase = "dc=acme"\n\turi = "ldap://b"\n}\n'
        'directory "b" {\n  base = "dc=b"\n}\n')
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_section_that_ends_indented_ends(tmp_path):
    path = tmp_path / "coexist.conf"
    path.write_text('directory "corp" {\n  uri = "ldap://a"\n  }\n'
                    'directory "b" {\n  base = "dc=b"\n  }\n', encoding="ascii")
    assert directory_key("get", path, "base") == ""
    directory_key("set", path, "base", "dc=acme")
    assert path.read_text(encoding="ascii") == (
        'directory "corp" {\n\tbase = "dc=acme"\n  uri = "ldap://a"\n  }\n'
        'directory "b" {\n  base = "dc=b"\n  }\n')


def test_a_key_without_blanks_is_found(tmp_path):
    path = tmp_path / "coexist.conf"
    path.write_text('directory "corp" {\n  uri="ldap://a"\n  #base="dc=x"\n}\n', encoding="ascii")
    assert directory_key("get", path, "uri") == "ldap://a"
    directory_key("set", path, "uri", "ldap://b")
    directory_key("set", path, "base", "dc=b")
    assert path.read_text(encoding="ascii") == (
        'directory "corp" {\n\turi = "ldap://b"\n\tbase = "dc=b"\n}\n')


@pytest.mark.parametrize("text, why", [
    ('directory "corp" { ldif = "/x" }\n', "on one line"),
    ('directory "corp" { uri = "ldap://a"\n base = "dc=x" }\n', "on one line"),
    ('directory "corp" {\n  ldif="/x"\n}\n', "takes an LDIF file"),
    ('organization = "acme"\n', 'no section "directory"'),
    ('', 'no section "directory"'),
])
def test_what_is_laid_out_otherwise_is_left_alone(tmp_path, text, why):
    path = tmp_path / "coexist.conf"
    path.write_text(text, encoding="ascii")
    done = subprocess.run(["sh", str(DEBIAN / "directory-key"), "set", str(path), "uri", "ldap://b"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and why in done.stderr, done
    assert path.read_text(encoding="ascii") == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["coexist.conf"]
