"""Curvature of layers, and the quasi-Newton method in whitened coordinates."""

import pytest
import torch


@pytest.fixture
def curvature(pack_module):
    return pack_module("core.pictures.curvature")


@pytest.fixture
def lbfgs(pack_module):
    return pack_module("core.pictures.lbfgs")


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def layer():
    with torch.inference_mode(False):
        conv = torch.nn.Conv2d(3, 5, 3, padding=1)
        for number, value in enumerate(conv.parameters()):
            value.data = random(*value.shape, seed=number) * 0.3
        yield conv


def whitened(curvature, layer, inputs, seed=7, **settings):
    with torch.enable_grad():
        layer.zero_grad(set_to_none=True)
        return curvature.whiten(
            [layer],
            lambda: (layer(inputs) * random(1, 5, *inputs.shape[2:], seed=seed).sign()).sum().backward(),
            **settings,
        )


def test_moving_is_what_the_gradient_says(curvature, layer):
    """The loss changes along a step in V by the product of the step and V's gradient, weight and
    bias together.
    """
    inputs, wanted = random(1, 3, 9, 8), random(1, 5, 9, 8, seed=1)
    (one,) = whitened(curvature, layer, inputs)

    def loss():
        return (layer(inputs) - wanted).square().sum()

    with torch.enable_grad():
        layer.zero_grad(set_to_none=True)
        before = loss()
        before.backward()
    slope, step = one.gradient(), random(one.scale.numel(), seed=3) * 1e-3
    with torch.no_grad():
        one.move(step)
        forward = float(loss())
        one.move(-2 * step)
        back = float(loss())
    assert (forward - back) / 2 == pytest.approx(float(slope @ step), rel=2e-2)


def test_a_lone_layer_is_whitened_to_one(curvature, layer):
    """Its Gauss-Newton matrix is known here, [patches^T patches] for every output. In V's units
    every direction has a curvature of about 1, although that of the inputs spans five powers of
    ten.
    """
    inputs = random(1, 3, 40, 40) * torch.tensor([20.0, 1.0, 0.05]).reshape(1, 3, 1, 1)
    (one,) = whitened(curvature, layer, inputs, damping=1e-6)
    patches = torch.cat([torch.nn.functional.unfold(inputs, 3, padding=1)[0], torch.ones(1, 1600)])
    moment = one.incoming.float().T @ (patches @ patches.T) @ one.incoming.float()
    curves = one.scale.square().mean(0) * moment.diagonal()
    assert 0.2 < float(curves.min())
    assert float(curves.max()) < 5


def test_a_wide_layer_is_seen_through_a_sketch(curvature, layer, monkeypatch):
    """The inputs vary in few directions. The sketch finds all of them, and has fewer rows than
    there are inputs.
    """
    rows = random(4000, 6) @ random(6, 200, seed=1)
    exact = curvature._Incoming(200)
    exact.add(rows)
    monkeypatch.setattr(curvature, "WIDE", 32)
    sketch = curvature._Incoming(200)
    sketch.add(rows[:1000])
    sketch.add(rows[1000:])
    (values, result), (true, _) = sketch.directions(), exact.directions()
    assert sketch.moment.shape == (32, 200)
    assert torch.allclose(result.T @ result, torch.eye(result.shape[1]), atol=1e-3)
    assert (rows - rows @ result @ result.T).norm() < 1e-3 * rows.norm()
    assert float(values.sum()) == pytest.approx(float(true.sum()), rel=0.3)


def test_fitted_scales_are_those_of_rows_and_columns(curvature):
    expected = random(30, 40).square() + 0.1
    rows, columns = random(30, 1, seed=1).exp(), random(1, 40, seed=2).exp()
    fitted = curvature.fit_scales(expected * rows * columns, expected, trust=1e-3, rounds=20)
    assert torch.allclose(fitted, expected * rows * columns, rtol=1e-2)
    assert torch.allclose(curvature.fit_scales(torch.zeros(30, 40), expected, trust=1e9), expected, rtol=1e-4)


def test_the_same_directions_when_lapack_gives_up(curvature, monkeypatch):
    rows = random(50, 20)
    moment = rows.T @ rows
    values, vectors = curvature._eigen(moment)

    def give_up(matrix):
        raise torch.linalg.LinAlgError("failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", give_up)
    others, result = curvature._eigen(moment)
    assert torch.allclose(others.sort().values, values, rtol=1e-5)
    assert torch.allclose(result @ torch.diag(others) @ result.T, vectors @ torch.diag(values) @ vectors.T, atol=1e-4)


def test_dead_layers_are_left_alone(curvature, layer):
    assert whitened(curvature, layer, torch.zeros(1, 3, 8, 8))[0].incoming.shape[1] == 1  # only the bias
    layer.register_parameter("bias", None)
    assert whitened(curvature, layer, torch.zeros(1, 3, 8, 8)) == []


def test_a_step_that_makes_things_worse_is_taken_back(curvature, lbfgs, layer):
    inputs = random(1, 3, 8, 8)
    optimiser = lbfgs.WhitenedLbfgs(whitened(curvature, layer, inputs))
    with torch.enable_grad():
        optimiser.zero_grad()
        layer(inputs).square().sum().backward()
    start = layer.weight.detach().clone()
    optimiser.step(1.0)
    moved = layer.weight.detach() - start
    optimiser.step(2.0)
    assert torch.allclose(layer.weight.detach() - start, lbfgs.BACK * moved, atol=1e-5)
    optimiser.finish()
    assert torch.allclose(layer.weight.detach(), start, atol=1e-6)


def test_it_goes_where_plain_descent_does_not(curvature, lbfgs, pack_module):
    """A badly scaled deterministic least-squares problem through two layers: a far lower loss than
    Adam's after as many passes.
    """
    background, descent = pack_module("core.pictures.background"), pack_module("core.pictures.descent")
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(1, 4, 12, 12, generator=generator) * torch.tensor([5.0, 1.0, 0.2, 0.05]).reshape(1, 4, 1, 1)
    source = torch.nn.functional.conv2d(inputs, torch.randn(3, 4, 3, 3, generator=generator) * 0.3, padding=1).tanh()
    goal = background.Goal(source, source, torch.zeros(1, 1, 12, 12), 1.0)

    def fresh():
        layers = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(8, 3, 1))
        for number, value in enumerate(layers.parameters()):
            value.data = torch.randn(value.shape, generator=torch.Generator().manual_seed(number)) * 0.2
        return layers

    def lowered(network):
        decoded = network(inputs)
        loss = background.reconstruction_loss(decoded, goal)
        loss.backward()
        return decoded.detach(), float(loss.detach())

    def probe():
        output = ours(inputs)
        (
            output * (torch.randint(0, 2, output.shape, generator=generator) * 2 - 1) / output.numel() ** 0.5
        ).sum().backward()

    with torch.enable_grad():
        ours, theirs = fresh(), fresh()
        layers = curvature.whiten([ours], probe)
        assert {type(one.layer) for one in layers} == {torch.nn.Conv2d}
        assert len(layers) == 2
        mine = descent.descend(lambda: lowered(ours), lbfgs.WhitenedLbfgs(layers), goal, 30)
        adam = descent.descend(lambda: lowered(theirs), descent.Adam(list(theirs.parameters()), 1e-2), goal, 30)
        assert max(mine.values) > max(adam.values) + 3
        assert background.masked_psnr(ours(inputs).detach(), source, 1 - goal.mask) == pytest.approx(
            max(mine.values), abs=0.05
        )  # the best point is kept
