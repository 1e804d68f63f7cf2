from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from monai_place.losses import ReportTokenLoss


def output(seed=0, reports=3, tokens=7, words=11, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return SimpleNamespace(
        logits=torch.randn(reports, tokens, words, generator=generator, dtype=dtype),
        input_ids=torch.randint(0, words, (reports, tokens), generator=generator),
        target_mask=torch.arange(tokens) >= torch.tensor([2, 3, 5])[:reports, None],
    )


def test_worked_by_hand():
    # Two words with logits 0 and 1: p = 1 / (1 + e) and e / (1 + e). Learnt are tokens 1 (word 1) and 2 (word 0).
    given = SimpleNamespace(
        logits=torch.tensor([[[0.0, 1.0]] * 3]),
        input_ids=torch.tensor([[0, 1, 0]]),
        target_mask=torch.tensor([[False, True, True]]),
    )
    terms = ReportTokenLoss()(given)
    expected = -(math.log(math.e / (1 + math.e)) + math.log(1 / (1 + math.e))) / 2
    assert float(terms["loss"]) == pytest.approx(expected)
    assert float(terms["token_accuracy"]) == 0.5


def test_equals_a_loop_forward_and_gradient():
    given = output(dtype=torch.float64)
    given.logits.requires_grad_()
    reports = []
    for row in range(3):
        places = [t for t in range(1, 7) if given.target_mask[row, t]]
        log_p = given.logits.log_softmax(-1)
        reports.append(-sum(log_p[row, t - 1, given.input_ids[row, t]] for t in places) / len(places))
    expected = sum(reports) / 3
    loss = ReportTokenLoss()(given)["loss"]
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(value, given.logits, retain_graph=True)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradcheck(
        lambda x: ReportTokenLoss()(SimpleNamespace(**{**vars(given), "logits": x}))["loss"], given.logits
    )


def test_prompt_padding_order_and_batching_do_not_matter():
    given, loss = output(), ReportTokenLoss()
    whole = float(loss(given)["loss"])
    changed = given.input_ids.clone()
    changed[:, 0] = 9  # of the prompt
    assert float(loss(SimpleNamespace(**{**vars(given), "input_ids": changed}))["loss"]) == whole
    order = [2, 0, 1]
    shuffled = SimpleNamespace(**{name: value[order] for name, value in vars(given).items()})
    assert float(loss(shuffled)["loss"]) == pytest.approx(whole)
    single = [loss(SimpleNamespace(**{n: v[row : row + 1] for n, v in vars(given).items()})) for row in range(3)]
    assert sum(float(terms["loss"]) for terms in single) / 3 == pytest.approx(whole)


def test_right_words_lose_less_than_shuffled_ones():
    given = output()
    sure = 5 * torch.nn.functional.one_hot(given.input_ids.roll(-1, 1), 11).float()
    good = ReportTokenLoss()(SimpleNamespace(**{**vars(given), "logits": sure}))
    bad = ReportTokenLoss()(SimpleNamespace(**{**vars(given), "logits": sure.flip(0)}))
    assert float(good["loss"]) < float(bad["loss"])
    assert float(good["token_accuracy"]) == 1


def test_nothing_to_learn_and_extreme_logits_stay_finite():
    given = output()
    given.target_mask[:] = False
    assert float(ReportTokenLoss()(given)["loss"]) == 0
    given = output()
    given.target_mask[1] = False
    rest = SimpleNamespace(**{name: value[[0, 2]] for name, value in vars(given).items()})
    assert float(ReportTokenLoss()(given)["loss"]) == pytest.approx(float(ReportTokenLoss()(rest)["loss"]))
    given.logits = given.logits * 1e4
    assert torch.isfinite(ReportTokenLoss(label_smoothing=0.1)(given)["loss"])


def test_half_precision_is_close_to_full():
    given = output()
    low = SimpleNamespace(**{**vars(given), "logits": given.logits.bfloat16()})
    loss = ReportTokenLoss()(low)["loss"]
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(ReportTokenLoss()(given)["loss"]), rel=0.01)


def test_smoothing_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"label_smoothing is 1\.0"):
        ReportTokenLoss(label_smoothing=1.0)
