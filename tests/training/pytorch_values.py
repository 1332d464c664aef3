"""Writes pytorch_values.json, the steps and learning rates of PyTorch that ours are compared with.

Run it with PyTorch (extra ``bench``): ``python tests/training/pytorch_values.py``.
"""

import json
import warnings
from pathlib import Path

STEPS = 12
START = [1.5, -0.25, 3.0]
SCALE = [1.0, 10.0, 0.01]
OPTIMIZERS = {
    "gradient_descent": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "momentum(beta=0.5)": ("SGD", {"momentum": 0.5}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop(beta=0.5,epsilon=0.001)": ("RMSprop", {"alpha": 0.5, "eps": 0.001}),
    "adam": ("Adam", {}),
    "adam(beta1=0.5,beta2=0.9,epsilon=0.01)": ("Adam", {"betas": (0.5, 0.9), "eps": 0.01}),
    "adamw": ("AdamW", {"weight_decay": 0.01}),
    "adamw(decay=0.3)": ("AdamW", {"weight_decay": 0.3}),
}
SCHEDULES = {
    "constant": ("ConstantLR", {"factor": 1.0}),
    "step": ("StepLR", {"step_size": 3, "gamma": 0.5}),
    "step(every=0.5,factor=0.1)": ("StepLR", {"step_size": 6, "gamma": 0.1}),
    "exponential": ("ExponentialLR", {"gamma": 0.01 ** (1 / STEPS)}),
    "cyclic(low=0.2,period=0.5)": (
        "CyclicLR",
        {"base_lr": 0.02, "max_lr": 0.1, "step_size_up": 3, "cycle_momentum": False},
    ),
    "cosine": ("CosineAnnealingLR", {"T_max": STEPS}),
    "cosine(periods=3)": ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    "cosine(periods=2,final=0.25)": ("CosineAnnealingWarmRestarts", {"T_0": 6, "eta_min": 0.025}),
    "warmup": ("LinearLR", {"start_factor": 1 / 6, "total_iters": 5}),
}


def gradient(theta):
    """Of a bowl with a ripple: small and large entries, and signs that change."""
    return [s * t + 0.5 * s * (t**3 - t) / (1 + t * t) for s, t in zip(SCALE, theta, strict=True)]


def main():
    import torch

    def steps(name, options):
        theta = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        optimizer = getattr(torch.optim, name)([theta], lr=0.1, **options)
        path = []
        for _ in range(STEPS):
            theta.grad = torch.tensor(gradient(theta.tolist()), dtype=torch.float64)
            optimizer.step()
            path.append(theta.tolist())
        return path

    def rates(name, options):
        theta = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([theta], lr=0.1)
        schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
        found = []
        for _ in range(STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                schedule.step()
        return found

    content = {
        "version": torch.__version__,
        "optimizers": {text: steps(*given) for text, given in OPTIMIZERS.items()},
        "schedules": {text: rates(*given) for text, given in SCHEDULES.items()},
    }
    path = Path(__file__).with_suffix(".json")
    text = json.dumps(content, indent=1).replace("\n   ", " ").replace("\n  ]", " ]")
    path.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
