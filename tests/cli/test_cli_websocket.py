"""run.py's websocket client against a server of a few lines, frame by frame (RFC 6455)."""
import base64
import hashlib
import socket
import struct
import threading

import pytest


class Peer:
    """The server's end of one connection, in the test's hands."""

    def __init__(self, run, accept=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.given_accept = accept
        self.thread = threading.Thread(target=self.shake_hands)
        self.thread.start()
        try:
            self.client = run.WebSocket(self.listener.getsockname()[1], "/ws?clientId=a", timeout=60)
        finally:
            self.thread.join()

    def shake_hands(self):
        self.connection, _ = self.listener.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.connection.recv(4096)
        self.request = request.decode()
        key = next(line.split(": ")[1] for line in self.request.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        accept = self.given_accept or base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        # The first message may come in the same packet as the handshake.
        self.send(f"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nSEC-WebSocket-Accept: {accept}\r\n\r\n".encode(), frame(1, b"hello"))

    def send(self, *frames: bytes) -> None:
        self.connection.sendall(b"".join(frames))

    def received(self) -> tuple[int, bytes]:
        """(opcode, unmasked payload) of the client's next frame, which must be whole and masked."""
        first, second = self.exactly(2)
        assert first & 0x80 and second & 0x80, "a client's frames are masked"
        size = second & 0x7F
        if size == 126:
            size, = struct.unpack(">H", self.exactly(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.exactly(8))
        mask = self.exactly(4)
        return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.exactly(size)))

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.connection.recv(count - len(data))
        return data

    def close(self):
        for end in (self.client.socket, self.connection, self.listener):
            end.close()


def frame(opcode: int, payload: bytes, last: bool = True) -> bytes:
    size = len(payload)
    length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)
    return bytes([(0x80 if last else 0) | opcode]) + length + payload


@pytest.fixture
def peer(run):
    peer = Peer(run)
    yield peer
    peer.close()


def test_handshake_and_a_message_in_the_same_packet(peer):
    assert peer.request.startswith("GET /ws?clientId=a HTTP/1.1\r\n") and "Sec-WebSocket-Version: 13" in peer.request
    assert peer.client.receive(60) == (1, b"hello")


def test_a_wrong_accept_key_is_refused(run):
    with pytest.raises(run.WebSocketClosed, match="handshake"):
        Peer(run, accept="bm90IHRoZSBrZXk=")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_lengths(peer, size):
    peer.client.receive(60)
    payload = bytes(index % 251 for index in range(size))
    threading.Thread(target=peer.send, args=(frame(2, payload),)).start()
    assert peer.client.receive(60) == (2, payload)


@pytest.mark.parametrize("size", [0, 125, 126, 65536])
def test_sent_frames_are_masked_and_whole(peer, size):
    payload = bytes(index % 251 for index in range(size))
    thread = threading.Thread(target=peer.client.send, args=(1, payload))
    thread.start()
    assert peer.received() == (1, payload)
    thread.join()


def test_fragments_with_a_ping_between_them(peer):
    peer.client.receive(60)
    peer.send(frame(1, b"one ", last=False), frame(9, b"are you there"), frame(0, b"two ", last=False), frame(0, b"three"))
    assert peer.client.receive(60) == (1, b"one two three")
    assert peer.received() == (10, b"are you there")


def test_nothing_is_lost_when_time_runs_out_within_a_frame(peer):
    peer.client.receive(60)
    whole = frame(1, b"x" * 200)
    peer.send(whole[:3])
    assert peer.client.receive(0.05) is None
    peer.send(whole[3:50])
    assert peer.client.receive(0.05) is None
    peer.send(whole[50:])
    assert peer.client.receive(60) == (1, b"x" * 200)


def test_close_is_answered(run, peer):
    peer.client.receive(60)
    peer.send(frame(8, struct.pack(">H", 1001)))
    with pytest.raises(run.WebSocketClosed):
        peer.client.receive(60)
    assert peer.received() == (8, struct.pack(">H", 1001))


@pytest.mark.parametrize("data", [b"\xc1\x00", b"\x81\x80\0\0\0\0"])
def test_extensions_and_masked_frames_from_a_server_are_errors(run, peer, data):
    peer.client.receive(60)
    peer.send(data)
    with pytest.raises(run.WebSocketClosed, match="masked"):
        peer.client.receive(60)


def test_a_lost_connection_is_told(run, peer):
    peer.client.receive(60)
    peer.connection.close()
    with pytest.raises(run.WebSocketClosed):
        peer.client.receive(60)
