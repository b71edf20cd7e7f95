"""A page of the watch as a mail, over SMTP. The standard library only; knows no record and no secret's place."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import Annotated

from pydantic import BaseModel, Field

from waferlens.errors import DeliveryFailed

_TIMEOUT_SECONDS = 30.0
Address = Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]


class MailOptions(BaseModel, frozen=True, extra="forbid"):
    """Who gets the daily report, and by which relay. A password is never here."""

    host: str = Field(min_length=1, description="the fab's mail relay")
    port: int = Field(25, ge=1, le=65_535, description="where it listens")
    sender: Address = Field(description="address that the report comes from")
    to: tuple[Address, ...] = Field(min_length=1, description="addresses that it goes to")
    starttls: bool = Field(False, description="change to TLS first, with a certificate that this machine trusts")
    user: str | None = Field(None, description="who signs in at the relay; none: nobody does")


def report_mail(options: MailOptions, *, subject: str, text: str, name: str, page: str) -> EmailMessage:
    """The mail: a few lines to read at once, and the whole page as a file. name: of the file."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, options.sender, ", ".join(options.to)
    mail.set_content(text)
    mail.add_attachment(page, subtype="html", filename=name)
    return mail


def send_mail(options: MailOptions, mail: EmailMessage, password: str | None = None) -> None:
    """Hand a mail to the relay. Raises DeliveryFailed unless it took it for every address."""
    try:
        with smtplib.SMTP(options.host, options.port, timeout=_TIMEOUT_SECONDS) as relay:
            if options.starttls:
                relay.starttls(context=ssl.create_default_context())
            if options.user is not None:
                relay.login(options.user, password or "")
            refused = relay.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        where = f"{options.host}:{options.port}"
        raise DeliveryFailed(
            "the mail was not taken", expected=f"the relay at {where}", found=str(error)
        ) from error
    if refused:
        raise DeliveryFailed("the mail was not taken for everybody", found=", ".join(sorted(refused)))
