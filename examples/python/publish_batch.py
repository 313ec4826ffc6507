"""Publish a batch of problems on the queue and read the results while they come.

Publishing needs a NATS client and JSON, no library of ours; reading uses the stubs.

    eval "$(rstar env)"            # sets NATS_URL and RSTAR_ADDRESS
    python examples/python/publish_batch.py
"""

import asyncio
import json
import os
import uuid

import grpc
import nats

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2

QUESTIONS = {
    "linear": "Solve 3*x + 4 = 19 for x.",
    "sum": "What is 21 + 21?",
    "derivative": "What is the derivative of 5*y**2 + 3 wrt y?",
}


async def publish(batch_id: str) -> None:
    """Put one message on the queue."""
    batch = {
        "batch_id": batch_id,
        "problems": [{"problem_id": i, "question": text} for i, text in QUESTIONS.items()],
        "settings": {"rollouts": 8},
    }
    client = await nats.connect(os.environ["NATS_URL"])
    # JetStream confirms that the message is stored; publishing it again is harmless.
    await client.jetstream().publish(
        "rstar.batches.submit",
        json.dumps(batch).encode(),
        headers={"Content-Type": "application/json"},
    )
    await client.close()


async def read_results(batch_id: str) -> None:
    """Print each result when it is there, until the batch is done."""
    page_token = ""
    async with grpc.aio.insecure_channel(os.environ["RSTAR_ADDRESS"]) as channel:
        stub = searcher_pb2_grpc.BatchServiceStub(channel)
        while True:
            request = searcher_pb2.ListBatchResultsRequest(batch_id=batch_id, page_token=page_token)
            try:
                page = await stub.ListBatchResults(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                page = searcher_pb2.ListBatchResultsResponse()  # not taken in yet
            for item in page.results:
                status = tree_pb2.SearchStatus.Name(item.result.status)
                print(f"{item.problem_id}: {item.result.answer or status}")
            if page.complete:
                return
            page_token = page.next_page_token
            await asyncio.sleep(0.5)


async def main() -> None:
    """Publish, then read."""
    batch_id = f"example-{uuid.uuid4().hex[:8]}"
    await publish(batch_id)
    print("published", batch_id)
    await read_results(batch_id)


if __name__ == "__main__":
    asyncio.run(main())
