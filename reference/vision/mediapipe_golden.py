"""What Python MediaPipe finds in photographs, as JSON, to compare this crate with.

    python mediapipe_golden.py OUT.json [--probe MODELS] PHOTO...

Still-image mode, threshold 0.5, up to 20 hands and faces, full models. Coordinates are pixels.
"""

import json
import sys

import numpy as np
from mediapipe.python.solution_base import SolutionBase
from PIL import Image, ImageOps

FULL, SHORT = 1, 0


def graph(path, outputs, options, **side):
    return SolutionBase(
        binary_graph_path=path, side_inputs=side, outputs=outputs, calculator_params=options or None
    )


def box(d, w, h):
    b = d.location_data.relative_bounding_box
    return {
        "bbox": [b.xmin * w, b.ymin * h, (b.xmin + b.width) * w, (b.ymin + b.height) * h],
        "score": d.score[0],
        "points": [[p.x * w, p.y * h] for p in d.location_data.relative_keypoints],
    }


def points(landmarks, w, h):
    return [[p.x * w, p.y * h] for p in landmarks.landmark]


def look(rgb):
    import mediapipe as mp

    h, w, _ = rgb.shape
    s = mp.solutions
    found = {"width": w, "height": h}
    for name, selection in (("faces_short", SHORT), ("faces_full", FULL)):
        with s.face_detection.FaceDetection(0.5, selection) as f:
            r = f.process(rgb)
            found[name] = [box(d, w, h) for d in r.detections or []]
    hands = graph(
        "mediapipe/modules/hand_landmark/hand_landmark_tracking_cpu.binarypb",
        ["palm_detections", "multi_hand_landmarks", "multi_handedness"],
        {
            "palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.5,
            "handlandmarkcpu__ThresholdingCalculator.threshold": 0.5,
        },
        model_complexity=1, num_hands=20, use_prev_landmarks=False,
    )
    r = hands.process({"image": rgb})
    found["palms"] = [box(d, w, h) for d in r.palm_detections or []]
    found["hands"] = [points(l, w, h) for l in r.multi_hand_landmarks or []]
    found["handedness"] = [
        [c.classification[0].label, c.classification[0].score] for c in r.multi_handedness or []
    ]
    pose = graph(
        "mediapipe/modules/pose_landmark/pose_landmark_cpu.binarypb",
        ["pose_detection", "pose_landmarks"],
        {
            "posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.5,
            "poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator.threshold": 0.5,
        },
        model_complexity=1, smooth_landmarks=False, enable_segmentation=False,
        smooth_segmentation=False, use_prev_landmarks=False,
    )
    r = pose.process({"image": rgb})
    found["person"] = box(r.pose_detection, w, h) if r.pose_detection else None
    found["pose"] = points(r.pose_landmarks, w, h) if r.pose_landmarks else None
    found["visibility"] = [p.visibility for p in r.pose_landmarks.landmark] if r.pose_landmarks else None
    with s.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=20) as f:
        r = f.process(rgb)
        found["meshes"] = [points(l, w, h) for l in r.multi_face_landmarks or []]
    return found


def probe(rgb, models):
    """The hand network on one rotated region, and the palm network's best boxes, through TFLite and
    OpenCV alone: for photographs without hands, where the whole pipeline has nothing to compare."""
    import cv2
    from tflite_runtime.interpreter import Interpreter

    def run(name, side, center, size, angle, border):
        corners = cv2.boxPoints((center, (size, size), np.rad2deg(angle))).astype(np.float32)
        crop = np.float32([[0, side], [0, 0], [side, 0], [side, side]])
        matrix = cv2.getPerspectiveTransform(corners, crop)
        image = cv2.warpPerspective(rgb, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)
        net = Interpreter(f"{models}/{name}.tflite", num_threads=1)
        net.allocate_tensors()
        net.set_tensor(net.get_input_details()[0]["index"], image[None].astype(np.float32) / 255)
        net.invoke()
        return [net.get_tensor(o["index"])[0].astype(float) for o in net.get_output_details()]

    center, size, angle = (120.0, 150.0), 130.0, 0.7
    hand = run("hand_landmark_full", 224, center, size, angle, cv2.BORDER_REPLICATE)
    h, w, _ = rgb.shape
    palm = run("palm_detection_full", 192, (w / 2, h / 2), max(w, h), 0.0, cv2.BORDER_CONSTANT)
    return {
        "region": [*center, size, angle],
        "hand": hand[0].tolist(),
        "palm_scores": [[int(i), float(palm[1][i, 0])] for i in np.argsort(-palm[1][:, 0])[:20]],
    }


def rounded(value):
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


if __name__ == "__main__":
    out, photos = sys.argv[1], sys.argv[2:]
    models = None
    if photos[0] == "--probe":
        models, photos = photos[1], photos[2:]
    result = {}
    for photo in photos:
        image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
        found = look(np.asarray(image))
        if models:
            found["probe"] = probe(np.asarray(image), models)
        result[photo.rsplit("/", 1)[-1]] = rounded(found)
    with open(out, "w") as f:
        json.dump(result, f, separators=(",", ":"))
        f.write("\n")
