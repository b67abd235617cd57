"""The lock files' check finds what it is there to find."""

from tests.servers.lock_files import main, problems

LOCK = """# a comment
attrs==26.1.0 \\
    --hash=sha256:abc
    # via x
Yadisk_Sdk==1.2 ; sys_platform == 'linux' \\
    --hash=sha256:def
"""


def test_the_lock_files_hold_what_the_project_asks_for() -> None:
    assert main() == 0


def test_a_lock_that_fulfils_the_requirements_has_no_problems() -> None:
    assert problems(LOCK, ["attrs>=26", "yadisk-sdk<2; sys_platform == 'linux'"]) == []


def test_a_missing_package_an_old_one_and_one_without_hash_are_told() -> None:
    assert problems(LOCK, ["mode>=1"]) == ["mode is missing."]
    assert problems(LOCK, ["attrs>=27"]) == ["attrs is 26.1.0, and pyproject.toml wants >=27."]
    assert problems(LOCK + "six==1.17\n", []) == ["six has no hash."]


def test_a_lock_that_names_a_host_is_told() -> None:
    assert len(problems("--index-url https://packages.example/simple\n" + LOCK, [])) == 1
