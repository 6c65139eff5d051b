"""Names of the engines, free of torch so that a command line can list them."""

ENGINES = ("auto", "eager", "compiled", "openvino", "onnx")
