import gzip

from armprobe.targets.initramfs import make_initramfs


def test_archive_holds_folders_files_and_links():
    archive = gzip.decompress(make_initramfs({"init": b"#!/bin/sh\n", "a/b/c": b"12345"}, links={"bin/sh": "busybox"}))
    assert archive[:6] == b"070701"
    assert len(archive) % 4 == 0
    assert [archive.count(name) for name in (b"a\0", b"a/b\0", b"a/b/c\0", b"bin/sh\0", b"TRAILER!!!\0")] == [1] * 5


def test_archive_is_the_same_every_time():
    assert make_initramfs({"init": b"1"}) == make_initramfs({"init": b"1"})
