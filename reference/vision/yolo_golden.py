"""Small random YOLOv8 and YOLO11 networks as ONNX, and what Ultralytics finds with them.

    python yolo_golden.py TESTS_FOLDER        (crates/vision/tests)

Widths are cut so that a network has under 1 MB. Batch norms learn their statistics from the photograph and the last
layers are made louder, so that random weights find something. Ultralytics predicts from the same ONNX file with its own preparation and suppression.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from ultralytics import YOLO
from ultralytics.nn.tasks import yaml_model_load

tests = Path(sys.argv[1])
# The upper part, wider than high; Ultralytics takes arrays as BGR.
photo = np.asarray(Image.open(tests / "photos" / "astronaut.png").convert("RGB"))[:220, :, ::-1]
golden = {}
work = Path(tempfile.mkdtemp())
for name, seed, loud in (("yolov8", 3, 0.3), ("yolo11", 5, 0.3)):
    torch.manual_seed(seed)
    config = yaml_model_load(f"{name}n.yaml")
    config = {key: config[key] for key in ("backbone", "head")} | {
        "nc": 2,
        "scales": {"n": [0.33 if name == "yolov8" else 0.5, 0.0625, 256]},
    }
    # Ultralytics takes the scale "n" from the name it is asked for and reads the file without it.
    (work / f"{name}.yaml").write_text(yaml.safe_dump(config))
    network = YOLO(work / f"{name}n.yaml")
    for module in network.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.6, 1.6)
            module.bias.data.normal_(0, 0.3)
            module.momentum = 1.0
    small = torch.from_numpy(np.ascontiguousarray(photo[:, :, ::-1])).permute(2, 0, 1)[None] / 255
    small = torch.nn.functional.interpolate(small, (160, 160), mode="bilinear", antialias=True)
    network.model.train()
    with torch.no_grad():
        network.model(torch.cat([small, small.flip(3)]))
    network.model.eval()
    head = network.model.model[-1]
    for boxes, classes in zip(head.cv2, head.cv3):
        boxes[-1].weight.data.normal_(0, 0.6)
        classes[-1].weight.data.normal_(0, loud)
        classes[-1].bias.data.fill_(-2.5)
    file = Path(network.export(format="onnx", imgsz=160, opset=17, simplify=True, dynamic=False))
    target = tests / "models" / f"{name}-random.onnx"
    file.rename(target)
    result = YOLO(target, task="detect").predict(np.ascontiguousarray(photo), imgsz=160, conf=0.25, iou=0.7, verbose=False)[0].boxes
    golden[name] = [
        {"bbox": [round(v, 3) for v in box], "score": round(score, 4), "class": int(label)}
        for box, score, label in zip(result.xyxy.tolist(), result.conf.tolist(), result.cls.tolist())
    ]
    print(name, target.stat().st_size, "bytes", len(golden[name]), "objects", golden[name][:3])
(tests / "golden" / "yolo.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
