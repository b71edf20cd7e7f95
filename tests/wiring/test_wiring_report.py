"""The daily report goes into folders and, over a real socket, to a relay that speaks SMTP; what fails is said."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator

import pytest

from waferlens.errors import DeliveryFailed, OptionsError
from waferlens.monitoring.mail import MailOptions
from waferlens.monitoring.pages import Section
from waferlens.settings.service import ReportOptions
from waferlens.wiring.daily import DailyReport, deliver_report

REPORT = DailyReport(
    date="2026-11-25",
    title="The line on 2026-11-25",
    lead="24 hours.",
    sections=[
        Section(title="The line", columns=("figure", "day"), rows=[("images", "1,234")]),
        Section(title="Alarms of the day", columns=("raised",), rows=[]),
    ],
)


class Relay(socketserver.StreamRequestHandler):
    """Enough of SMTP to take a mail; addresses at ``refused.example`` are refused."""

    def handle(self) -> None:
        self._say("220 relay")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                mail = b""
                while (told := self.rfile.readline()) != b".\r\n":
                    mail += told.removeprefix(b".")  # RFC 5321, 4.5.2
                self.server.mails.append(mail)
            self._say("550 not here" if "refused.example" in line else "221 bye" if verb == "QUIT" else "250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@pytest.fixture
def relay() -> Iterator[socketserver.TCPServer]:
    with socketserver.TCPServer(("127.0.0.1", 0), Relay) as server:
        server.mails = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def to(port: int, *addresses: str) -> MailOptions:
    return MailOptions(host="127.0.0.1", port=port, sender="line@fab.example", to=addresses)


def test_the_report_is_dropped_and_mailed_with_its_page(relay, tmp_path):
    mail = to(relay.server_address[1], "ann@fab.example", "bea@fab.example")
    options = ReportOptions(folder=tmp_path / "drop", mail=mail)
    went = deliver_report(REPORT, options, tmp_path / "told")
    assert len(went) == 3
    for folder in ("drop", "told"):
        assert (tmp_path / folder / "daily-2026-11-25.html").read_text() == REPORT.page
    (raw,) = relay.mails
    told = email.message_from_bytes(raw, policy=email.policy.default)
    assert told["Subject"] == REPORT.title
    assert "bea@fab.example" in told["To"]
    assert "images: 1,234" in told.get_body().get_content()
    (page,) = told.iter_attachments()
    assert page.get_filename() == "daily-2026-11-25.html"
    assert page.get_content().splitlines() == REPORT.page.splitlines()


def test_a_mail_that_is_refused_or_has_no_relay_is_an_error_and_the_file_stays(relay, tmp_path):
    port = relay.server_address[1]
    for mail in (
        to(port, "x@refused.example"),
        to(port, "a@fab.example", "x@refused.example"),
        to(1, "a@b.example"),
    ):
        with pytest.raises(DeliveryFailed):
            deliver_report(REPORT, ReportOptions(folder=tmp_path, mail=mail))
    assert (tmp_path / "daily-2026-11-25.html").exists()


def test_a_report_that_would_go_nowhere_is_an_error():
    with pytest.raises(OptionsError, match="nowhere"):
        deliver_report(REPORT, ReportOptions())
