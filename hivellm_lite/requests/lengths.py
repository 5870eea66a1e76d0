"""How long prompts and answers may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ContextLengthError

if TYPE_CHECKING:
    from ..inference.session import Session

__all__ = ["check_length"]


def check_length(
    session: Session, n_prompt: int, n_completion: int = 1, *, n_virtual: int = 0
) -> None:
    """Raise ContextLengthError if prompt and completion cannot stand in the context.

    ``n_virtual`` tokens of the prompt are virtual.
    """
    n_ctx, trained = session.n_ctx, session.model.n_ctx_train
    needed = n_prompt + n_completion
    if needed <= n_ctx:
        return
    rounded = min(-(-needed // 1024) * 1024, trained)
    advice = f"Load with n_ctx={rounded} (--n-ctx {rounded})" if needed <= trained else "Shorten it"
    virtual = f", {n_virtual} of them of the soft prompt" if n_virtual else ""
    raise ContextLengthError(
        f"the prompt has {n_prompt} tokens{virtual}, which leaves no room for {n_completion} more "
        f"in a context of {n_ctx}\n{advice}; this model was trained on {trained} positions."
    )
