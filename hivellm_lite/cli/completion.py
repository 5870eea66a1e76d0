"""``hivellm-lite completion``: the script that completes command lines in a shell."""

from __future__ import annotations

import click

from .completion_scripts import SCRIPTS
from .output import print_answer

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice([*SCRIPTS]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and installed experts.

    Bash: eval "$(hivellm-lite completion bash)", in ~/.bashrc.

    Zsh: eval "$(hivellm-lite completion zsh)", in ~/.zshrc.

    Fish: hivellm-lite completion fish > ~/.config/fish/completions/hivellm-lite.fish, once.
    """
    print_answer(SCRIPTS[shell])
