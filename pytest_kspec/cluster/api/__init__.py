"""The API server: kubeconfig, authentication, HTTP, discovery."""
