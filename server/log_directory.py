"""The directory of the log: its files, the manifest that names them, what an older server left.

Owns paths and the order of steps that makes each change of the manifest atomic and durable. Must not know what is in
the files nor when they change.
"""

from __future__ import annotations

import os
from errno import ENOTDIR

from server.disk import remove, replace_file, sync_directory, write_all
from server.loading import LoadFailure, whole_path
from server.log import shown
from storage.aof.manifest import BadManifest, LogFile, Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from server.config.configuration import Config
    from server.log import Log

TEMPORARY = b"temp-"  # before the names of files that do not count yet


class LogDirectory:
    """`appenddirname` below the working directory. Methods raise OSError unless they say otherwise."""

    def __init__(self, config: Config, log: Log) -> None:
        self.config = config
        self.log = log
        self.manifest = Manifest()

    @property
    def prefix(self) -> bytes:
        return self.config.appendfilename

    @property
    def manifest_name(self) -> bytes:
        return self.prefix + b".manifest"

    def path(self, name: bytes) -> bytes:
        return os.path.join(self.config.appenddirname, name)

    def part_path(self, part: LogFile) -> bytes:
        return self.path(part.name)

    def create(self) -> None:
        """Make the directory if it is not there."""
        try:
            os.mkdir(self.config.appenddirname, 0o755)
        except FileExistsError:
            if os.path.isdir(self.config.appenddirname):
                return
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR)) from None
        sync_directory(b".")

    def read(self) -> None:
        """Read the manifest; an empty one where there is none. Raises LoadFailure."""
        path = self.path(self.manifest_name)
        self.manifest = Manifest()
        try:
            with open(path, "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise LoadFailure(
                "Fatal error: can't open the AOF manifest file %s for reading: %s" % (whole_path(path), error.strerror)
            ) from None
        try:
            self.manifest = Manifest.parse(data)
        except BadManifest as error:
            lines = [
                "The AOF manifest file %s cannot be read" % whole_path(path),
                "*** FATAL AOF MANIFEST FILE ERROR ***",
            ]
            if error.line is not None:
                lines.append("Reading the manifest file, at line %d" % error.number)
                lines.append(">>> '%s'" % shown(error.line))
            raise LoadFailure(*lines, error.reason) from None

    def adopt_single_file(self) -> None:
        """Take over the single file of a server before 7. Raises LoadFailure.

        The manifest comes first, then the file is moved: a crash between the two leaves what is recognised here.
        """
        name = self.prefix
        manifest = self.manifest
        if not os.path.isfile(name):
            return
        is_half_done = (
            not manifest.increments
            and manifest.base is not None
            and manifest.base.name == name
            and not os.path.exists(self.path(name))
        )
        if not is_half_done and list(manifest.parts()):
            return
        try:
            self.create()
            if not is_half_done:
                fresh = Manifest()
                fresh.adopt(name)
                self.write(fresh)
            os.replace(name, self.path(name))
            sync_directory(self.config.appenddirname)
            sync_directory(b".")
        except OSError as error:
            raise LoadFailure(
                "Error trying to move the old AOF file %s into dir %s: %s"
                % (whole_path(name), whole_path(self.config.appenddirname), error.strerror)
            ) from None
        self.log.notice(
            "Successfully migrated an old-style AOF file (%s) into the AOF directory (%s)."
            % (shown(name), shown(self.config.appenddirname))
        )

    def write(self, manifest: Manifest) -> None:
        """Make `manifest` the one that counts, on disk and here."""
        name = self.manifest_name
        replace_file(self.path(name), self.path(TEMPORARY + name), lambda file: write_all(file, manifest.format()))
        self.manifest = manifest

    def follow_removal(self, config: Config) -> Optional[str]:
        """`aof-disable-auto-gc` changed."""
        self.remove_history()
        return None

    def remove_history(self) -> None:
        """Delete the files that a finished rewrite has made superfluous.

        The manifest is written after that, or a crash would leave files that nothing names. It is tried again after the
        next rewrite if that fails; a file that cannot be deleted stays, as in Redis.
        """
        if self.config.aof_disable_auto_gc or not self.manifest.history:
            return
        manifest = self.manifest.copy()
        for part in manifest.take_history():
            self.log.notice("Removing the history file %s in the background" % shown(part.name))
            remove(self.part_path(part))
        try:
            self.write(manifest)
        except OSError as error:
            self.log.warning("Can't write the AOF manifest: %s" % error.strerror)

    def size_of(self, part: LogFile) -> int:
        """The bytes of a file, 0 if it is not there."""
        try:
            return os.stat(self.part_path(part)).st_size
        except OSError:
            return 0
