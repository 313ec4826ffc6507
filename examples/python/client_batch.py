"""Submit a batch with the client package and read its results while they come.

eval "$(rstar env)"            # sets NATS_URL and RSTAR_ADDRESS
python examples/python/client_batch.py
"""

import asyncio
import os
import uuid

from rstar_client import AsyncClient, Problem, Settings

QUESTIONS = {
    "linear": "Solve 3*x + 4 = 19 for x.",
    "sum": "What is 21 + 21?",
    "derivative": "What is the derivative of 5*y**2 + 3 wrt y?",
}


async def main() -> None:
    """Publish, then read."""
    batch_id = f"example-{uuid.uuid4().hex[:8]}"
    problems = [Problem(problem_id=name, question=text) for name, text in QUESTIONS.items()]
    async with AsyncClient(os.environ["RSTAR_ADDRESS"], nats_url=os.environ["NATS_URL"]) as client:
        await client.batches.submit(batch_id, problems, Settings(rollouts=8))
        print("published", batch_id)
        async for item in client.batches.results(batch_id):
            print(f"{item.problem_id}: {item.result.answer or item.result.status}")


if __name__ == "__main__":
    asyncio.run(main())
