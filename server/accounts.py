"""Users at work: who is who, what they may do, who hears of a refusal.

Owns the users by name and keeps every session's standing in step with its user: a session whose user may be refused
something carries `admission.RESTRICTED`, one that must log in `admission.NEEDS_AUTH`; the others pay nothing. Knows
`requirepass`, which is the password of the user `default`, and where users come from: lines of the configuration or
the file of users. Rules, verdicts and formats are `server.acl`.

As in Redis a session that once was authenticated stays so when a password is set later, and taking the password away
lets everybody in. Rules hold from the next command on; who loses a channel it listens to is disconnected.
"""

from __future__ import annotations

from server import admission
from server.acl.selector import ALLOWED, DENIED_CHANNEL, DENIED_COMMAND, DENIED_KEY, BadRule, has_spaces
from server.acl.user import User, digest, merge_selectors
from server.log import shown
from storage.errors import CommandError
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence

    from server.acl.log import RefusalLog
    from server.config.configuration import Config
    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session

DEFAULT_USER = b"default"
REASON_NAMES = {DENIED_COMMAND: b"command", DENIED_KEY: b"key", DENIED_CHANNEL: b"channel"}
LOST_IN_EXEC = {
    DENIED_COMMAND: b"no permission to execute the command or subcommand",
    DENIED_KEY: b"no permission to touch the specified keys",
    DENIED_CHANNEL: b"no permission to access one of the channels used as arguments",
}
PLAIN_REFUSALS = {DENIED_KEY: b"No permissions to access a key", DENIED_CHANNEL: b"No permissions to access a channel"}
NO_FILE = (
    b"ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    b"command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store "
    b"users in the Redis configuration."
)
NOT_SAVED = b"ERR There was an error trying to save the ACLs. Please check the server logs for more information"


def wording(verdict: int, user: User, spec: CommandSpec, subject: bytes, names_subject: bool) -> bytes:
    """What a refusal says; the subject of one on keys or channels is only named to who tries a user's rules."""
    if verdict == DENIED_COMMAND:
        return b"User %b has no permissions to run the '%b' command" % (user.name, spec.name)
    if names_subject:
        return b"User %b has no permissions to access the '%b' %b" % (user.name, subject, REASON_NAMES[verdict])
    return PLAIN_REFUSALS[verdict]


class Accounts:
    """The users of one server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.default = self.new_user(DEFAULT_USER)
        for rule in (b"on", b"nopass", b"~*", b"&*", b"+@all"):
            self.default.obey(rule)
        self.users: Dict[bytes, User] = {DEFAULT_USER: self.default}
        self._log: Optional[RefusalLog] = None
        config = services.config
        if config.requirepass:
            self.follow_requirepass(config)
        config.on_change("requirepass", self.follow_requirepass)
        config.user_lines = self.lines

    def new_user(self, name: bytes) -> User:
        """A user that may do nothing yet, and is not known yet."""
        services = self.services
        all_channels = services.config.acl_pubsub_default == "allchannels"
        return User(name, services.registry, all_channels, services.log.warning)

    def lines(self) -> List[bytes]:
        """All users as the rules that would make them, by name."""
        return [self.users[name].line() for name in sorted(self.users)]

    # Standing --------------------------------------------------------------------------------------------------

    def follow_requirepass(self, config: Config) -> Optional[str]:
        """Give the default user the configured password, or none."""
        password = config.requirepass
        self.default.nopass = not password
        self.default.passwords = [digest(password)] if password else []
        self.settle_sessions(self.default)
        return None

    @property
    def must_log_in(self) -> bool:
        """Whether a client can do nothing before AUTH."""
        return not (self.default.nopass and self.default.enabled)

    def greet(self, session: Session) -> None:
        """Make a new client, or one that said RESET, the default user, logged in if that takes nothing."""
        session.user = self.default
        session.authenticated = not self.must_log_in
        session.await_login(not session.authenticated)
        session.set_mode(admission.RESTRICTED, self.default.is_restricted)

    def settle_sessions(self, user: User) -> None:
        """A user's rules changed: the standing of its sessions, and who must log in now, or no longer."""
        needed = self.must_log_in
        restricted = user.is_restricted
        for session in self.services.clients:
            if session.user is user:
                session.set_mode(admission.RESTRICTED, restricted)
            if not session.authenticated:
                session.await_login(needed)

    def authenticate(self, session: Session, username: bytes, password: bytes, argv: Sequence[bytes]) -> Optional[User]:
        """The user if the password is right. A refusal is counted and logged, under the command's word as sent."""
        user = self.users.get(username)
        if user is not None and user.accepts(password):
            return user
        self.services.stats.acl_denied_auth += 1
        self.note_refusal(session, b"auth", argv[0], username, argv=argv)
        return None

    # Permission ------------------------------------------------------------------------------------------------

    def check_permission(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> None:
        """Refuse, count and log what the session's user may not do."""
        user = session.user
        if user is None:
            return
        verdict, at = user.judge(spec, argv)
        if verdict == ALLOWED:
            return
        self.count_refusal(session, verdict, spec, argv[at], argv=argv)
        raise CommandError(b"NOPERM " + wording(verdict, user, spec, argv[at], False))

    def explain(self, user: User, spec: CommandSpec, argv: Sequence[bytes]) -> Optional[bytes]:
        """Why a user may not run a vector, naming what it may not use; None if it may. Nothing is counted."""
        verdict, at = user.judge(spec, argv)
        return None if verdict == ALLOWED else wording(verdict, user, spec, argv[at], True)

    def refusal_of_queued(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> Optional[bytes]:
        """What EXEC answers for a queued command that has been forbidden since; None if it has not."""
        user = session.user
        verdict, at = user.judge(spec, argv) if user is not None else (ALLOWED, 0)
        if verdict == ALLOWED:
            return None
        self.count_refusal(session, verdict, spec, argv[at], b"multi", argv)
        return (
            b"NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "
            b"This command is no longer allowed for the following reason: " + LOST_IN_EXEC[verdict]
        )

    def refusal_in_script(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> Optional[bytes]:
        """What a script reads for a command that the user who runs it may not use; None if it may."""
        user = session.user
        verdict, at = user.judge(spec, argv) if user is not None else (ALLOWED, 0)
        if verdict == ALLOWED:
            return None
        self.count_refusal(session, verdict, spec, argv[at], b"lua")
        return b"ERR ACL failure in script: " + wording(verdict, user, spec, argv[at], False)

    def reads_all_keys(self, session: Session, argv: Sequence[bytes]) -> bool:
        """Whether a command under way may read keys that it names by a pattern only (SORT BY, GET)."""
        if session.user is None or not session.mode & admission.RESTRICTED:
            return True
        spec = self.services.registry.resolve(argv)
        return spec is not None and session.user.reads_all_keys(spec, argv)

    def count_refusal(
        self,
        session: Session,
        verdict: int,
        spec: CommandSpec,
        subject: bytes,
        context: bytes = b"",
        argv: Optional[Sequence[bytes]] = None,
    ) -> None:
        """Count a refusal and log it; where the command itself is refused, it is the subject."""
        stats = self.services.stats
        if verdict == DENIED_COMMAND:
            stats.acl_denied_command += 1
            subject = spec.name
        elif verdict == DENIED_KEY:
            stats.acl_denied_key += 1
        else:
            stats.acl_denied_channel += 1
        self.note_refusal(session, REASON_NAMES[verdict], subject, session.user.name, context, argv)

    # The log ---------------------------------------------------------------------------------------------------

    @property
    def log(self) -> RefusalLog:
        if self._log is None:
            from server.acl.log import RefusalLog

            self._log = RefusalLog()
        return self._log

    def note_refusal(
        self,
        session: Session,
        reason: bytes,
        subject: bytes,
        username: bytes,
        context: bytes = b"",
        argv: Optional[Sequence[bytes]] = None,
    ) -> None:
        """Put a refusal in the log; `argv` is what the client that is described with it has sent."""
        from server.client_description import describe

        if not context:
            context = b"multi" if session.mode & admission.IN_MULTI else b"toplevel"
        services = self.services
        client = describe(services.dispatch.current or session, argv)
        length = services.config.acllog_max_len
        self.log.add(reason, context, subject, username, client, services.keyspace.clock.now_ms, length)

    # Changing users --------------------------------------------------------------------------------------------

    def set_user(self, name: bytes, words: Sequence[bytes]) -> None:
        """Make or change a user by all of these rules or none; raises CommandError with Redis's text."""
        rules, opened = merge_selectors(words)
        if opened is not None:
            raise CommandError(b"ERR Unmatched parenthesis in acl selector starting at '%b'." % c_text(opened))
        known = self.users.get(name)
        draft = self.new_user(name)
        if known is not None:
            draft.become(known)
        for rule in rules:
            try:
                draft.obey(rule)
            except BadRule as bad:
                raise CommandError(b"ERR Error in ACL SETUSER modifier '%b': %b" % (c_text(rule), bad.reason)) from None
        if known is None:
            self.users[name] = draft
            return
        known.become(draft)
        self.settle_sessions(known)
        self.drop_listeners(known)

    def delete_user(self, name: bytes) -> bool:
        """Forget a user and disconnect its clients."""
        user = self.users.pop(name, None)
        if user is None:
            return False
        for session in list(self.services.clients):
            if session.user is user:
                self.expel(session)
        return True

    def expel(self, session: Session) -> None:
        """Disconnect a client whose rights are gone; who asked for it still reads the answer."""
        session.user = self.default
        session.authenticated = False
        if session is self.services.dispatch.current:
            session.close_after_reply()
        else:
            self.services.clients.kill(session)

    def drop_listeners(self, user: User) -> None:
        """Disconnect the user's subscribers of channels that it may no longer listen to."""
        for session in list(self.services.clients):
            listens = session.subscriptions
            if session.user is not user or not listens:
                continue
            names = [(name, False) for name in [*listens.channels, *listens.shard_channels]]
            names += [(name, True) for name in listens.patterns]
            if not all(user.permits_channel(name, is_pattern) for name, is_pattern in names):
                self.expel(session)

    # Where users come from -------------------------------------------------------------------------------------

    def declare(self, words: Sequence[bytes]) -> None:
        """Obey one `user name rules...` of the configuration; raises BadUsers."""
        from server.acl.files import BadUsers

        name = words[1]
        if has_spaces(name):
            raise BadUsers(b"Spaces not allowed in ACL usernames")
        rules, opened = merge_selectors(words[2:])
        if opened is not None:
            raise BadUsers(b"Unmatched parenthesis in selector definition of user '%b'" % name)
        user = self.default.copy() if name == DEFAULT_USER else self.new_user(name)
        if name == DEFAULT_USER:
            user.obey(b"reset")
        for rule in rules:
            try:
                user.obey(rule)
            except BadRule as bad:
                raise BadUsers(
                    b"Error loading ACL rule '%b' for the user named '%b': %b" % (rule, name, bad.reason)
                ) from None
        if not user.enabled:
            self.services.log.notice(
                "The user '%s' is disabled (there is no 'on' modifier in the user description). Make sure this is not "
                "a configuration error." % shown(name)
            )
        self.put(user)

    def put(self, user: User) -> None:
        """Know a user from now on; the default one stays the object it is."""
        if user.name == DEFAULT_USER:
            self.default.become(user)
            self.settle_sessions(self.default)
        else:
            self.users[user.name] = user

    def load(self) -> None:
        """Replace all users by those of the file, or none; raises BadUsers. Who is not in it any more is
        disconnected."""
        from server.acl.files import read_users

        config = self.services.config
        loaded = read_users(config.aclfile, self.new_user)
        before = self.users
        self.users = {DEFAULT_USER: self.default}
        if DEFAULT_USER not in loaded:
            fresh = self.new_user(DEFAULT_USER)
            for rule in (b"on", b"nopass", b"~*", b"&*", b"+@all"):
                fresh.obey(rule)
            loaded[DEFAULT_USER] = fresh
        for user in loaded.values():
            self.put(user)
        gone = {user for name, user in before.items() if user is not self.default}
        for session in list(self.services.clients):
            if session.user in gone:
                successor = self.users.get(session.user.name)
                if successor is None:
                    self.expel(session)
                else:
                    session.user = successor
        for user in self.users.values():
            self.settle_sessions(user)
            self.drop_listeners(user)

    def reload(self) -> None:
        """ACL LOAD: `load`, with CommandError for what is wrong."""
        from server.acl.files import BadUsers

        if not self.services.config.aclfile:
            raise CommandError(NO_FILE)
        try:
            self.load()
        except BadUsers as bad:
            raise CommandError(b"ERR " + bad.text) from None

    def save(self) -> None:
        """Write all users to their file; raises CommandError."""
        from server.acl.files import write_users

        path = self.services.config.aclfile
        if not path:
            raise CommandError(NO_FILE)
        try:
            write_users(path, self.lines())
        except OSError as error:
            self.services.log.warning(str(error))
            raise CommandError(NOT_SAVED) from None
