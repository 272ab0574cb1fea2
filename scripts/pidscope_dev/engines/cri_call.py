"""Send one gRPC message to a socket: its own program, for the Python that has Debian's grpcio.

usage: cri_call.py SOCKET METHOD TIME_LIMIT_S; the request is on standard input, the answer on
standard output, both as bytes: the messages are those of `pidscope_dev.engines.cri`.
"""

import sys

import grpc


def main(socket: str, method: str, time_limit_s: str) -> int:
    """Print the answer; an error is one line, and status 1."""
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        call = channel.unary_unary(method)  # without serializers: bytes to bytes
        try:
            answer = call(sys.stdin.buffer.read(), timeout=float(time_limit_s))
        except grpc.RpcError as error:
            print(f"{method}: {error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
