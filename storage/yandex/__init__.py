"""Objects on Yandex Disk."""
