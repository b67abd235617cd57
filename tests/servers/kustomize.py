"""The real kustomize, which renders what `kubectl apply -k` would send."""

from typing import Final

from tests.servers.go_tool import GoTool

KUSTOMIZE: Final = GoTool("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "v5.7.1")
