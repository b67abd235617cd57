"""While modules are loaded nobody looks for garbage; afterwards Python does so again, whatever happened."""

import gc

import pytest

from service.cli.loading import loading


def test_garbage_is_looked_for_again_after_the_loading() -> None:
    known = gc.get_freeze_count()
    try:
        with loading():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > known, "what was loaded is not looked at any more"
    finally:
        gc.unfreeze()


def test_a_library_that_is_missing_changes_nothing_of_that() -> None:
    try:
        with pytest.raises(ImportError), loading():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
