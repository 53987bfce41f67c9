import base64
import socket
import threading

from entrepot.adapters.notices import NoticeMessenger
from entrepot.core.notices import Notice


def test_a_receiver_that_speaks_no_http_is_a_fault_and_no_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"what?\r\n\r\n")

        receiver = threading.Thread(target=answer)
        receiver.start()
        notice = Notice("n1", "budget", "webhook", f"http://127.0.0.1:{server.getsockname()[1]}/", "subject", "{}")
        messenger = NoticeMessenger("whsec_" + base64.b64encode(b"k" * 32).decode(), "", "")
        assert messenger.carry(notice, 0)
        receiver.join()
