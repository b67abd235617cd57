"""The real kustomize, which renders what `kubectl apply -k` would send."""

from typing import Final

from service.local_s3.go_tools import GoTool

KUSTOMIZE: Final = GoTool("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "v5.7.1")
