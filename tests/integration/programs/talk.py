"""A gRPC server that answers in capitals, message by message: talk.py ADDRESS PORT."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


class Talk(grpc.GenericRpcHandler):
    """One method of bytes, under any name."""

    def service(self, details):
        del details
        return grpc.stream_stream_rpc_method_handler(self.talk)

    def talk(self, requests, context):
        del context
        for request in requests:
            yield request.upper()


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(32), handlers=[Talk()])
    server.add_insecure_port(f"{sys.argv[1]}:{sys.argv[2]}")
    server.start()
    server.wait_for_termination()
