"""SGLang plugin: a seed for each request on the CPU's `torch_native` attention.

SGLang honours `sampling_seed` only under `--enable-deterministic-inference`, admits that
only for attention backends on a list of its own, and switches on Triton kernels that need
a GPU. On one CPU thread torch's own kernels are deterministic already, so `torch_native`
is put on the list and the kernels are left out.
"""

from __future__ import annotations

ATTENTION_BACKEND = "torch_native"


def load() -> None:
    """Called by SGLang in each of its processes, before it reads its arguments."""
    import sgl_kernel  # noqa: F401 -- registers the operator behind seeded sampling
    import sglang.srt.batch_invariant_ops as batch_invariant_ops
    from sglang.srt.arg_groups import choices

    if ATTENTION_BACKEND not in choices.DETERMINISTIC_ATTENTION_BACKEND_CHOICES:
        choices.add_deterministic_attention_backend_choices([ATTENTION_BACKEND])
        choices.add_radix_supported_deterministic_attention_backend_choices([ATTENTION_BACKEND])
    batch_invariant_ops.enable_batch_invariant_mode = _nothing


def _nothing(*args: object, **kwargs: object) -> None:
    """In place of the Triton kernels."""
