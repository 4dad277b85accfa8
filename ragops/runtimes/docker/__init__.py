"""The docker runtime: containers of this machine, through Pulumi's Docker provider."""
