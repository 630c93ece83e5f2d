"""The pygls object of one connection: which requests are served, and what pygls must not do here.

It must not end the process, keep documents of its own, write the user's text to a log, or remember closed
connections (`get_message_type` is cached on the method, and with it every protocol object that called it).
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import JsonRpcException, PyglsError
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from lsp.assistant import Assistant
from lsp.commands import ACCEPTED, accepted
from lsp.completion import completion
from lsp.document import Document, Encoding
from lsp.inline_completion import inline_completion
from lsp.session import Session
from lsp.status import StatusLine

log = logging.getLogger(__name__)


class Protocol(LanguageServerProtocol):
    """pygls's protocol with documents kept by the session."""

    _server: Server

    def get_message_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        """The type of a method's message."""
        return types.METHOD_TO_TYPES.get(method, (None,))[0]

    def get_result_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        """The type of a method's answer."""
        return types.METHOD_TO_TYPES.get(method, (None, None))[1]

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_args: Any) -> None:  # type: ignore[override]
        """The editor has finished; its connection ends, the daemon goes on."""
        if self.writer is not None:
            self.writer.close()

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Keep the document."""
        document = params.text_document
        self._server.session.open(
            document.uri, document.language_id, document.version, document.text
        )

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Change the document; a change without a range is its whole new text."""
        edits = [_edit_of(change) for change in params.content_changes]
        document = params.text_document
        self._server.session.documents.change(document.uri, document.version, edits)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Forget the document."""
        self._server.session.documents.close(params.text_document.uri)


class Server(LanguageServer):
    """One connection's language server."""

    def __init__(
        self, version: str, assistant: Assistant, session: Session, converter: Converter
    ) -> None:
        super().__init__(
            name="hearth",
            version=version,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
            converter_factory=lambda: converter,
        )
        self.session = session
        self._assistant = assistant
        self._status: StatusLine | None = None
        _register(self)

    def report_server_error(
        self, error: Exception, source: type[PyglsError | JsonRpcException]
    ) -> None:
        """Log where it happened, and not what the message says: that may quote the user's text."""
        data = getattr(error, "data", None)
        frames = (
            data["traceback"]
            if isinstance(data, dict)
            else traceback.format_tb(error.__traceback__)
        )
        log.error("%s in %s\n%s", type(error).__name__, source.__name__, "".join(frames))

    def begin(self, params: types.InitializeParams) -> None:
        """Take the editor's capabilities into account, before the server's are told."""
        documents = self.session.documents
        documents.encoding = Encoding(self.workspace.position_encoding or Encoding.UTF16)
        documents.folders = self._folders()
        if not _shows_ghost_text(params):
            _register_menu(self)

    def note_folders(self) -> None:
        """Folders were added or removed."""
        self.session.documents.folders = self._folders()

    def show_status(self) -> None:
        """Tell the state from now on; nothing may be sent before `initialized`."""
        if self._status:
            return
        window = self.client_capabilities.window
        shows_progress = bool(window and window.work_done_progress)
        self._status = StatusLine(self.protocol, self._assistant, shows_progress=shows_progress)

    def end(self) -> None:
        """The connection is closed."""
        if self._status:
            self._status.close()
        self.session.end()

    def _folders(self) -> tuple[str, ...]:
        root = self.workspace.root_uri
        return tuple(self.workspace.folders) or ((root,) if root else ())


def _register(server: Server) -> None:
    session = server.session

    @server.feature(types.INITIALIZE)
    def _(params: types.InitializeParams) -> None:
        server.begin(params)

    @server.feature(types.INITIALIZED)
    def _(_params: types.InitializedParams) -> None:
        server.show_status()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def _(_params: types.DidChangeWorkspaceFoldersParams) -> None:
        server.note_folders()

    # Without options pygls does not advertise the capability; Neovim wants it static.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def _(params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        return await inline_completion(session, params)

    @server.command(ACCEPTED)
    def _(*arguments: Any) -> None:
        accepted(session, arguments)


def _register_menu(server: Server) -> None:
    options = types.CompletionOptions(trigger_characters=["."])

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, options)
    async def _(params: types.CompletionParams) -> types.CompletionList:
        return await completion(server.session, params)


def _shows_ghost_text(params: types.InitializeParams) -> bool:
    """Whether the editor asks for ghost text; such a one would only wait for our item in its menu.

    `initializationOptions: {"popup": true}` asks for both.
    """
    document, options = params.capabilities.text_document, params.initialization_options
    both = isinstance(options, dict) and options.get("popup") is True
    return document is not None and document.inline_completion is not None and not both


def _edit_of(change: types.TextDocumentContentChangeEvent) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        if isinstance(change, types.TextDocumentContentChangePartial):
            document.change(change.range.start, change.range.end, change.text)
        else:
            document.replace_all(change.text)

    return edit
