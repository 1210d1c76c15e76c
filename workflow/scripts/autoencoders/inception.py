"""The one weights file that FID is defined by."""

# As pytorch-fid distributes it (pytorch_fid.inception.FID_WEIGHTS_URL).
URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def recorded_name(extractor: str, weights_sha256: str) -> str:
    """What tables call an extractor: "inception" for the official weights alone, whose distance is the FID."""
    return "inception-other" if extractor == "inception" and weights_sha256 != SHA256 else extractor
