"""Remedies for mode collapse and unstable training: functions from loss pair to loss pair, or GAN to GAN.

They compose. Of those on a GAN, the one applied last is outermost: unrolling belongs around historical
averaging. Remedies that change what the critic sees are in :mod:`jaxgan.views`.
"""
