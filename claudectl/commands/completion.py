"""`claudectl completion`: the script that a shell evaluates to complete our words."""

import sys

import click

from claudectl_protocol import __version__

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes verbs, options, and the names of sessions and projects.

    \b
    bash:  eval "$(claudectl completion bash)"     in ~/.bashrc
    zsh:   eval "$(claudectl completion zsh)"      in ~/.zshrc
    fish:  claudectl completion fish | source      in ~/.config/fish/config.fish
    """
    # It imports every verb, which nothing else does.
    from claudectl.completion.grammar import grammar
    from claudectl.completion.scripts import script

    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    sys.stdout.write(script(shell, grammar(root), __version__))
