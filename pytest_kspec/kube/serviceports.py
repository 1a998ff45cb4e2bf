"""Fields of containers and Services that hold a port, and the type that a Service has without one."""

CONTAINER_PORTS = ("containerPort", "hostPort")
SERVICE_PORTS = ("port", "targetPort", "nodePort")
HEALTH_PORT = "healthCheckNodePort"

DEFAULT_TYPE = "ClusterIP"
"""What a Service without a type is, a headless one too."""
