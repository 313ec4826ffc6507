"""SGLang plugin for a CPU without AMX: seeded sampling, forked workers, batched attention.

Seeds: SGLang honours `sampling_seed` only under `--enable-deterministic-inference`, admits
that only for attention backends on a list of its own, and switches on Triton kernels that
need a GPU. On one CPU thread torch's own kernels are deterministic already, so
`torch_native` is put on the list and the kernels are left out.

Fork: SGLang spawns its scheduler and detokenizer, and each imports everything anew, which
is two thirds of a start and a third of the memory. That is a rule of CUDA; without a GPU,
and with one thread, a fork of the process that has imported it all already does as well.

Attention: see `attention`.
"""

from __future__ import annotations

ATTENTION_BACKEND = "torch_native"


def load() -> None:
    """Called by SGLang in each of its processes, before it reads its arguments."""
    _admit_seeds()
    _fork_workers()
    _batch_attention()


def _admit_seeds() -> None:
    import sgl_kernel  # noqa: F401 -- registers the operator behind seeded sampling
    import sglang.srt.batch_invariant_ops as batch_invariant_ops
    from sglang.srt.arg_groups import choices

    if ATTENTION_BACKEND not in choices.DETERMINISTIC_ATTENTION_BACKEND_CHOICES:
        choices.add_deterministic_attention_backend_choices([ATTENTION_BACKEND])
        choices.add_radix_supported_deterministic_attention_backend_choices([ATTENTION_BACKEND])
    batch_invariant_ops.enable_batch_invariant_mode = _nothing


def _fork_workers() -> None:
    import multiprocessing

    multiprocessing.set_start_method("fork", force=True)
    # SGLang sets it back to "spawn" just before it starts them.
    multiprocessing.set_start_method = _nothing


def _batch_attention() -> None:
    from sglang.srt.layers.attention.torch_native_backend import TorchNativeAttnBackend

    from rstar_sglang_cpu import attention

    attention.install(TorchNativeAttnBackend)


def _nothing(*args: object, **kwargs: object) -> None:
    """In place of what is left out."""
