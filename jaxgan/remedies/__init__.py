"""Remedies for mode collapse and unstable training, as functions on loss pairs or on GANs.

Each remedy returns a changed loss pair or GAN, so that remedies compose. Among those on a GAN, the one
applied last is outermost: apply unrolling after historical averaging. Remedies that change what the critic
sees are in :mod:`jaxgan.views`.
"""
